-- name: authorize
-- keys: idempotency hold epoch | those the needs name
-- args: spec digest asked needs_id | needs record brief
-- flags:
-- meaning: gateway.core.machine.authorize
-- `spec` is what this request alone asks, `needs` what it shares with others of its kind. Needs
-- come once and are remembered under their digest; of one that was forgotten the whole is asked.
local S_MODE, S_REFUSED, S_PROBE, S_EXTENDS, S_AMOUNT = 1, 2, 3, 4, 5
local S_NOT_AFTER, S_TTL, S_KEEP, S_HOLD_ID, S_SHARES = 6, 7, 8, 9, 10
local N_FROM, N_UNTIL, N_BOOK, N_CURRENCY, N_PRODUCT, N_ORG = 1, 2, 3, 4, 5, 6
local N_VERSIONS, N_SIGNALS, N_COUNTERS, N_SOURCES, N_KEYS = 7, 8, 9, 10, 11
local N_STREAM, N_DUE, N_INDEXES, N_RECORD, N_BRIEF = 12, 13, 14, 15, 16
local MODE_HOLD, MODE_CAPTURE, MODE_DRY = 0, 1, 2
local COUNTER = 7 -- shape, measure, limit, period, in_hold, has_index, name
local SLOT = 3

-- Two generations: when the young one is full it becomes the old one, and what the old one still
-- had in use comes back by being asked for.
local MOST_NEEDS = 2000
local young, old, n_young = {}, {}, 0

local function needs_of(id, packed, record, brief)
  local needs = young[id]
  if needs then return needs end
  needs = old[id]
  if not needs and packed then
    needs = cmsgpack.unpack(packed)
    needs[N_RECORD], needs[N_BRIEF] = record, brief
  end
  if needs then
    if n_young >= MOST_NEEDS then young, old, n_young = {}, young, 0 end
    young[id], n_young = needs, n_young + 1
  end
  return needs
end

-- Read every counter; false as second value when one of them refuses.
local function read_counters(spec, shares, values, first, now)
  local readings, allowed, c = {}, true, 0
  for at = 1, #spec, COUNTER do
    local shape, measure, limit = spec[at], spec[at + 1], spec[at + 2]
    local value = values[first + c + 1]
    local a, b = 0, 0
    if shape == SLIDING then
      a, b = rolled(value, spec[at + 3], now)
    elseif value then
      if shape == WINDOW then a, b = struct.unpack('<dd', value) else a = tonumber(value) end
    end
    readings[2 * c + 1], readings[2 * c + 2] = a, b
    c = c + 1
    local share = shares[measure + 1]
    if limit >= 0 and not (measure == SLOT and share == 0) then
      local used = a + b
      if shape == SLIDING then
        local period = spec[at + 3]
        used = a + b * ((period - now % period) / period)
      end
      if limit == 0 or used + share > limit then allowed = false end
    end
  end
  return readings, allowed
end

-- A window's key outlives its window, and any hold made in it, by a grace for extends and late
-- captures: `least` is that moment for this request's hold (0 when it settles at once).
local function write_window(key, packed, stands, period, least)
  if period == 0 then
    redis.call('SET', key, packed)
  elseif stands then
    redis.call('SETRANGE', key, '0', packed)
    if least > period then redis.call('PEXPIREAT', key, least, 'GT') end
  else
    redis.call('SET', key, packed, 'PXAT', max(period, least))
  end
end

local function write_counters(
  spec, shares, readings, values, first, keys, indexes, settles, least, now)
  local index = 0
  local c = 0
  for at = 1, #spec, COUNTER do
    local shape, share, period = spec[at], shares[spec[at + 1] + 1], spec[at + 3]
    local a, b = readings[2 * c + 1], readings[2 * c + 2]
    c = c + 1
    local key, value = keys[first + c], values[first + c]
    if shape == WINDOW then
      if settles then a = min(MAX_MICROS, a + share) else b = min(MAX_MICROS, b + share) end
      write_window(key, struct.pack('<dd', a, b), value, period, least)
      if spec[at + 5] then
        index = index + 1
        if not value then
          redis.call('SADD', indexes[index], string.match(key, '[^/]*$'))
          if period > 0 then redis.call('PEXPIREAT', indexes[index], max(period, least)) end
        end
      end
    elseif shape == GAUGE then
      if share > 0 then redis.call('INCRBY', key, share) end
    else
      local bucket = floor(now / period)
      local packed = struct.pack('<ddd', bucket, min(MAX_MICROS, a + share), b)
      if value and struct.unpack('<d', value) == bucket then
        redis.call('SETRANGE', key, '0', packed)
      else
        redis.call('SET', key, packed, 'PXAT', (bucket + 2) * period)
      end
    end
  end
end

local function add_draws(hold, spec, draws)
  local held = hold[H_DRAWS]
  for i = 1, #draws do
    if draws[i] > 0 then
      local name = spec[SOURCE * i]
      local entry = #held > 0 and find(held, name)
      if entry then
        entry[2] = entry[2] + draws[i]
      else
        held[#held + 1] = { name, draws[i], spec[SOURCE * i - 1] }
      end
    end
  end
end

local function add_counted(hold, spec, shares, now)
  local counted = hold[H_COUNTED]
  local is_new = #counted == 0
  for at = 1, #spec, COUNTER do
    if spec[at + 4] then
      local shape, share, period, bucket = spec[at], shares[spec[at + 1] + 1], 0, 0
      if shape == SLIDING then
        period = spec[at + 3]
        bucket = floor(now / period)
      end
      local name = spec[at + 6]
      local entry = not is_new and find(counted, name)
      if entry then
        entry[3], entry[4] = entry[3] + share, bucket
      else
        counted[#counted + 1] = { name, shape, share, bucket, period }
      end
    end
  end
end

local function authorize(keys, args)
  local needs = needs_of(args[4], args[5], args[6], args[7])
  if not needs then return { UNKNOWN } end
  local idempotency, hold_key = keys[1], keys[2]
  keys = needs[N_KEYS]
  keys[1], keys[2] = idempotency, hold_key
  local s, now = cmsgpack.unpack(args[1]), clock_ms()
  local counters, sources = needs[N_COUNTERS], needs[N_SOURCES]
  local versions, signals = needs[N_VERSIONS], needs[N_SIGNALS]
  local shares, amount, mode = s[S_SHARES], s[S_AMOUNT], s[S_MODE]
  -- Values come in the order of their keys: one offset serves both.
  local at_signals = 3 + #versions
  local at_counters = at_signals + signals
  local at_sources = at_counters + #counters / COUNTER
  local values = redis.call('MGET', unpack(keys))
  local epoch = values[3]
  local early = precheck(epoch, s[S_KEEP] > 0 and values[1], args[2], now)
    or stale(versions, values, 3, needs[N_FROM], min(needs[N_UNTIL], s[S_NOT_AFTER]), now)
  if early then return early end
  local hold, asked
  if s[S_EXTENDS] then
    if not values[2] then return { MISSING, now } end
    hold, asked = load_hold(values[2])
    if is_over(hold, now) then return { ENDED, now, values[2] } end
  end
  local readings, allowed = read_counters(counters, shares, values, at_counters, now)
  local funds = {}
  for i = 1, #keys - at_sources do funds[i] = tonumber(values[at_sources + i] or 0) end
  local draws, rest = draw(sources, funds, amount)
  allowed = allowed and rest == 0 and not s[S_REFUSED]
  if not allowed then draws = {} end
  local seen, counted, stays = {}, {}, {}
  for i = 1, signals do
    counted[i], stays[i] = count_signal(values[at_signals + i], amount, now, seen)
  end
  local held_amount, expires = 0, 0
  if allowed and mode == MODE_HOLD then
    held_amount = amount + (hold and hold[H_AMOUNT] or 0)
    expires = s[S_TTL] > 0 and now + s[S_TTL] or hold[H_EXPIRES]
  end
  local out = cmsgpack.pack({ allowed, now, readings, funds, draws, seen, held_amount, expires })
  if s[S_PROBE] and not allowed then return { ROOM, now, out } end
  if mode == MODE_DRY then return { DONE, now, out } end
  for i = 1, signals do
    write_signal(keys[at_signals + i], counted[i], stays[i], now)
  end
  if allowed then
    write_counters(counters, shares, readings, values, at_counters, keys, needs[N_INDEXES],
      mode == MODE_CAPTURE, expires > 0 and expires + WINDOW_GRACE_MS or 0, now)
    pay(sources, funds, draws, keys, at_sources, values, at_sources)
    if mode == MODE_HOLD then
      hold = hold or {
        HELD, needs[N_ORG], needs[N_BOOK], needs[N_CURRENCY], needs[N_PRODUCT], 0, now, 0,
        {}, {}, false, 0, 0, 0, 0,
      }
      hold[H_AMOUNT], hold[H_EXPIRES] = held_amount, expires
      add_draws(hold, sources, draws)
      add_counted(hold, counters, shares, now)
      asked = asked or needs[N_BRIEF] .. args[3]
      redis.call('SET', hold_key, dump_hold(hold, asked))
      redis.call('ZADD', needs[N_DUE], expires, s[S_HOLD_ID])
    end
  end
  local body = needs[N_RECORD] .. args[3]
  append(needs[N_STREAM], epoch, s[S_EXTENDS] and 'extend' or 'authorize', out, body)
  keep(idempotency, s[S_KEEP], args[2], out, body, now)
  return { DONE, now, out }
end
