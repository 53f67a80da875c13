-- name: authorize
-- keys: stream due | epoch idempotency hold versions* signals* counters* sources* | indexes*
-- args: spec digest body
-- flags:
-- meaning: gateway.core.machine.authorize
local S_MODE, S_REFUSED, S_PROBE, S_EXTENDS, S_AMOUNT, S_FROM, S_UNTIL, S_TTL, S_KEEP = 1, 2, 3, 4, 5, 6, 7, 8, 9
local S_BOOK, S_CURRENCY, S_PRODUCT, S_ORG, S_HOLD_ID = 10, 11, 12, 13, 14
local S_VERSIONS, S_SIGNALS, S_COUNTERS, S_SOURCES, S_PREFIX = 15, 16, 17, 18, 19
local MODE_CAPTURE, MODE_DRY = 1, 2
local COUNTER = 6 -- shape, amount, limit, period, in_hold, has_index

-- Read every counter; false as second value when one of them refuses.
local function read_counters(spec, values, first, now)
  local readings, allowed = {}, true
  for c = 0, #spec / COUNTER - 1 do
    local at = COUNTER * c
    local shape, amount, limit, period = spec[at + 1], spec[at + 2], spec[at + 3], spec[at + 4]
    local value = values[first + c + 1]
    local a, b = 0, 0
    if shape == SLIDING then
      a, b = rolled(value, period, now)
    elseif value then
      if shape == WINDOW then a, b = struct.unpack('<dd', value) else a = tonumber(value) end
    end
    readings[2 * c + 1], readings[2 * c + 2] = a, b
    if limit >= 0 then
      local used = a + b
      if shape == SLIDING then used = a + b * ((period - now % period) / period) end
      if limit == 0 or used + amount > limit then allowed = false end
    end
  end
  return readings, allowed
end

-- A window's key outlives its window, and any hold made in it, by a grace for extends and late
-- captures: `least` is that moment for this request's hold (0 when it settles at once).
local function write_counters(spec, readings, values, first, keys, first_key, index_key, settles, least, now)
  for c = 0, #spec / COUNTER - 1 do
    local at = COUNTER * c
    local shape, amount, period = spec[at + 1], spec[at + 2], spec[at + 4]
    local key, a, b = keys[first_key + c + 1], readings[2 * c + 1], readings[2 * c + 2]
    if shape == WINDOW then
      if settles then a = a + amount else b = b + amount end
      local packed = struct.pack('<dd', a, b)
      if not values[first + c + 1] and period > 0 then
        redis.call('SET', key, packed, 'PXAT', max(period, least))
      else
        redis.call('SET', key, packed, 'KEEPTTL')
        if period > 0 and least > period then redis.call('PEXPIREAT', key, least, 'GT') end
      end
      if spec[at + 6] == 1 then
        index_key = index_key + 1
        if not values[first + c + 1] then
          redis.call('SADD', keys[index_key], string.match(key, '[^/]*$'))
          if period > 0 then redis.call('PEXPIREAT', keys[index_key], max(period, least)) end
        end
      end
    elseif shape == GAUGE then
      if amount > 0 then redis.call('INCRBY', key, amount) end
    else
      local bucket = floor(now / period)
      redis.call('SET', key, struct.pack('<ddd', bucket, a + amount, b), 'PXAT', (bucket + 2) * period)
    end
  end
end

local function add_draws(hold, spec, draws, keys, first_key, prefix)
  for i = 1, #draws do
    if draws[i] > 0 then
      local name = string.sub(keys[first_key + i], prefix)
      local entry = find(hold[H_DRAWS], name)
      if entry then
        entry[2] = entry[2] + draws[i]
      else
        hold[H_DRAWS][#hold[H_DRAWS] + 1] = { name, draws[i], spec[3 * i] == 1 }
      end
    end
  end
end

local function add_counted(hold, spec, keys, first_key, prefix, now)
  for c = 0, #spec / COUNTER - 1 do
    local at = COUNTER * c
    if spec[at + 5] == 1 then
      local key, shape, period = keys[first_key + c + 1], spec[at + 1], spec[at + 4]
      local name = string.sub(key, prefix)
      local bucket = shape == SLIDING and floor(now / period) or 0
      local entry = #hold[H_COUNTED] > 0 and find(hold[H_COUNTED], name)
      if entry then
        entry[3], entry[4] = entry[3] + spec[at + 2], bucket
      else
        hold[H_COUNTED][#hold[H_COUNTED] + 1] =
          { name, shape, spec[at + 2], bucket, shape == SLIDING and period or 0 }
      end
    end
  end
end

local function authorize(keys, args)
  local s = cmsgpack.unpack(args[1])
  local now = clock_ms()
  local counters, sources, versions, signals = s[S_COUNTERS], s[S_SOURCES], s[S_VERSIONS], s[S_SIGNALS]
  local n_counters, n_sources = #counters / COUNTER, #sources / 3
  -- Offsets into values (which starts at the third key) of what comes before each group.
  local v_signals = 3 + #versions
  local v_counters = v_signals + signals
  local v_sources = v_counters + n_counters
  local values = redis.call('MGET', unpack(keys, 3, 2 + v_sources + n_sources))
  local epoch = values[1]
  local early = precheck(epoch, s[S_KEEP] > 0 and values[2], args[2], now)
    or stale(versions, values, 3, s[S_FROM], s[S_UNTIL], now)
  if early then return early end
  local hold, asked
  if s[S_EXTENDS] == 1 then
    if not values[3] then return { MISSING, now } end
    hold, asked = load_hold(values[3])
    if is_over(hold, now) then return { ENDED, now, values[3] } end
  end
  local readings, allowed = read_counters(counters, values, v_counters, now)
  local funds = {}
  for i = 1, n_sources do funds[i] = tonumber(values[v_sources + i] or 0) end
  local draws, rest = draw(sources, funds, s[S_AMOUNT])
  allowed = allowed and rest == 0 and s[S_REFUSED] == 0
  if not allowed then draws = {} end
  local seen, counted = {}, {}
  for i = 1, signals do
    counted[i] = count_signal(values[v_signals + i], s[S_AMOUNT], now, seen)
  end
  local held_amount, expires = 0, 0
  if allowed and s[S_MODE] == 0 then
    held_amount = s[S_AMOUNT] + (hold and hold[H_AMOUNT] or 0)
    expires = s[S_TTL] > 0 and now + s[S_TTL] or hold[H_EXPIRES]
  end
  if s[S_PROBE] == 1 and not allowed or s[S_MODE] == MODE_DRY then
    local dry = cmsgpack.pack({ allowed, now, readings, funds, draws, seen, 0, 0 })
    return { s[S_MODE] == MODE_DRY and not (s[S_PROBE] == 1 and not allowed) and DONE or ROOM, now, dry }
  end
  local out = cmsgpack.pack({ allowed, now, readings, funds, draws, seen, held_amount, expires })
  for i = 1, signals do
    redis.call('SET', keys[2 + v_signals + i], counted[i], 'PXAT', now + SIGNAL_TTL_MS)
  end
  if allowed then
    local k_counters, k_sources = 2 + v_counters, 2 + v_sources
    write_counters(counters, readings, values, v_counters, keys, k_counters,
      k_sources + n_sources, s[S_MODE] == MODE_CAPTURE,
      expires > 0 and expires + WINDOW_GRACE_MS or 0, now)
    pay(sources, funds, draws, keys, k_sources, values, v_sources)
    if s[S_MODE] == 0 then
      hold = hold or { HELD, s[S_ORG], s[S_BOOK], s[S_CURRENCY], s[S_PRODUCT], 0, now, 0, {}, {}, false, 0, 0, 0, 0 }
      hold[H_AMOUNT], hold[H_EXPIRES] = held_amount, expires
      add_draws(hold, sources, draws, keys, k_sources, s[S_PREFIX])
      add_counted(hold, counters, keys, k_counters, s[S_PREFIX], now)
      redis.call('SET', keys[5], dump_hold(hold, asked or args[3]))
      redis.call('ZADD', keys[2], expires, s[S_HOLD_ID])
    end
  end
  append(keys[1], epoch, s[S_EXTENDS] == 1 and 'extend' or 'authorize', out, args[3])
  keep(keys[4], s[S_KEEP], args[2], out, args[3], now)
  return { DONE, now, out }
end
