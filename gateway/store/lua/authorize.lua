-- name: authorize
-- keys: idempotency hold epoch | those of the template | those of velocity counters
-- args: spec digest asked needs_id | needs record brief
-- flags:
-- meaning: gateway.core.machine.authorize
-- `spec` is what this request alone asks, `needs` the template that it shares with others of its
-- kind. A template is sent once and remembered under its digest: a cache by content, so it is never
-- wrong. UNKNOWN asks for one that was forgotten.
local S_MODE, S_REFUSED, S_PROBE, S_EXTENDS, S_AMOUNT = 1, 2, 3, 4, 5
local S_NOT_AFTER, S_TTL, S_KEEP, S_HOLD_ID, S_SHARES, S_EPOCH = 6, 7, 8, 9, 10, 11
local S_TALLIES = 12
local N_FROM, N_UNTIL, N_BOOK, N_CURRENCY, N_PRODUCT, N_ORG = 1, 2, 3, 4, 5, 6
local N_VERSIONS, N_SIGNALS, N_COUNTERS, N_SOURCES, N_KEYS = 7, 8, 9, 10, 11
local N_STREAM, N_DUE, N_INDEXES, N_RECORD, N_BRIEF = 12, 13, 14, 15, 16
local N_HOLD, N_READINGS, N_FUNDS, N_SEEN, N_OUT = 17, 18, 19, 20, 21
local MODE_HOLD, MODE_CAPTURE, MODE_DRY = 0, 1, 2
-- A counter as it is sent: shape, measure, limit, period, in_hold, target, name, and what a hold
-- remembers of the measure. The target is false where no index has it.
local COUNTER = 8
-- A counter as it is remembered. The entry is what a hold says of the counter, false where it says
-- nothing.
local C_SHAPE, C_SHARE, C_LIMIT, C_PERIOD, C_INDEX, C_ENTRY, C_TARGET = 1, 2, 3, 4, 5, 6, 7
local SLOT = 4 -- the place of slots among a request's shares; after it come those of units

-- Unpack a template. What each call fills in anew (a new hold, what it read) is made here, once:
-- calls never overlap.
local function learn(packed, record, brief)
  local n = cmsgpack.unpack(packed)
  local spec, counters, entries, index = n[N_COUNTERS], {}, {}, 0
  for at = 1, #spec, COUNTER do
    local shape, period, index_key, entry = spec[at], spec[at + 3], false, false
    if spec[at + 5] then
      index = index + 1
      index_key = n[N_INDEXES][index]
    end
    if spec[at + 4] then
      entry = { spec[at + 6], shape, 0, 0, shape == SLIDING and period or 0, spec[at + 7] }
      entries[#entries + 1] = entry
    end
    counters[#counters + 1] = {
      shape, spec[at + 1] + 1, spec[at + 2], period, index_key, entry, spec[at + 5],
    }
  end
  n[N_COUNTERS], n[N_RECORD], n[N_BRIEF] = counters, record, brief
  n[N_HOLD] = {
    HELD, n[N_ORG], n[N_BOOK], n[N_CURRENCY], n[N_PRODUCT], 0, 0, 0, {}, entries,
    false, 0, 0, 0, 0,
  }
  n[N_READINGS], n[N_FUNDS], n[N_SEEN], n[N_OUT] = {}, {}, {}, {}
  return n
end

-- Two generations of templates, so that memory is bounded: when the young one is full it becomes
-- the old one. A template of the old one that is still in use returns to the young one when it is
-- asked for; the others are dropped with the old one.
local MOST_NEEDS = 2000
local young, old, n_young = {}, {}, 0

local function needs_of(id, packed, record, brief)
  local needs = young[id]
  if needs then return needs end
  needs = old[id] or packed and learn(packed, record, brief)
  if needs then
    if n_young >= MOST_NEEDS then young, old, n_young = {}, young, 0 end
    young[id], n_young = needs, n_young + 1
  end
  return needs
end

-- Read every counter into readings. Returns whether all of them bear the request.
local function read_counters(counters, shares, values, first, readings, now)
  local allowed = true
  for i = 1, #counters do
    local c = counters[i]
    local shape, limit, value = c[C_SHAPE], c[C_LIMIT], values[first + i]
    local a, b, used = 0, 0, 0
    if shape == WINDOW then
      if value then a, b = struct.unpack('<dd', value) end
      used = a + b
    elseif shape == SLIDING then
      local period = c[C_PERIOD]
      local into = now % period
      if value then a, b = rolled(value, (now - into) / period) end
      used = a + b * ((period - into) / period)
    elseif value then
      a = tonumber(value)
      used = a
    end
    readings[2 * i - 1], readings[2 * i] = a, b
    if limit >= 0 then
      local share = shares[c[C_SHARE]]
      if (limit == 0 or used + share > limit) and (share > 0 or c[C_SHARE] < SLOT) then
        allowed = false
      end
    end
  end
  return allowed
end

-- Add a counter's target to its index. The set lives as long as any of its targets: its end (Unix
-- ms; 0: never) is set at first, then only prolonged.
local function add_target(c, ends)
  redis.call('SADD', c[C_INDEX], c[C_TARGET])
  if ends > 0 then
    redis.call('PEXPIREAT', c[C_INDEX], ends, 'NX')
    redis.call('PEXPIREAT', c[C_INDEX], ends, 'GT')
  end
end

-- Write a window's counter. Its key outlives the window, and any hold made in it, by a grace for
-- extends and late captures: `least` is the end of that grace for this request's hold (Unix ms; 0
-- for an immediate capture).
local function write_window(key, packed, stands, c, least)
  local period, index = c[C_PERIOD], c[C_INDEX]
  if stands then
    redis.call('SETRANGE', key, '0', packed)
    if least > period and period > 0 then
      redis.call('PEXPIREAT', key, least, 'GT')
      if index then redis.call('PEXPIREAT', index, least, 'GT') end
    end
    return
  end
  if period == 0 then
    redis.call('SET', key, packed)
  else
    redis.call('SET', key, packed, 'PXAT', max(period, least))
  end
  if index then add_target(c, period > 0 and max(period, least) or 0) end
end

local function write_counters(counters, shares, values, first, readings, keys, settles, least, now)
  for i = 1, #counters do
    local c, key, value = counters[i], keys[first + i], values[first + i]
    local shape, share = c[C_SHAPE], shares[c[C_SHARE]]
    local a, b = readings[2 * i - 1], readings[2 * i]
    if shape == WINDOW then
      if settles then a = min(MAX_MICROS, a + share) else b = min(MAX_MICROS, b + share) end
      write_window(key, struct.pack('<dd', a, b), value, c, least)
    elseif shape == GAUGE then
      if share > 0 then redis.call('INCRBY', key, share) end
    else
      local period = c[C_PERIOD]
      local bucket = (now - now % period) / period
      local packed = struct.pack('<ddd', bucket, min(MAX_MICROS, a + share), b)
      if value and struct.unpack('<d', value) == bucket then
        redis.call('SETRANGE', key, '0', packed)
      else
        local ends = (bucket + 2) * period
        redis.call('SET', key, packed, 'PXAT', ends)
        if c[C_INDEX] then add_target(c, ends) end
      end
    end
  end
end

-- Add what an extend added to a counter: gateway.core.holds.add_counted. Each bucket has an entry
-- of its own; those that are out of the counter become one.
local function add_counted(counted, made, share, bucket)
  local name, oldest, second, newest = made[1], nil, nil, nil
  for i = 1, #counted do
    if counted[i][1] == name then
      if not oldest then oldest = i elseif not second then second = i end
      newest = i
    end
  end
  if newest and counted[newest][4] == bucket then
    counted[newest][3] = counted[newest][3] + share
    return
  end
  if second and counted[second][4] < bucket - 1 then
    counted[second][3] = counted[second][3] + counted[oldest][3]
    table.remove(counted, oldest)
  end
  counted[#counted + 1] = { name, made[2], share, bucket, made[5], made[6] }
end

-- Write into a hold what it took and counted: into a new one what this request did, into one that
-- is extended what both did.
local function fill(hold, needs, draws, shares, is_new, now)
  local spec, taken = needs[N_SOURCES], is_new and {} or hold[H_DRAWS]
  for i = 1, #draws do
    if draws[i] > 0 then
      local name = spec[SOURCE * i]
      local entry = not is_new and find(taken, name)
      if entry then
        entry[2] = entry[2] + draws[i]
      else
        taken[#taken + 1] = { name, draws[i], spec[SOURCE * i - 1] }
      end
    end
  end
  hold[H_DRAWS] = taken
  local counters, counted = needs[N_COUNTERS], hold[H_COUNTED]
  for i = 1, #counters do
    local c = counters[i]
    local made = c[C_ENTRY]
    if made then
      local share, period = shares[c[C_SHARE]], made[5]
      local bucket = period > 0 and (now - now % period) / period or 0
      if is_new then
        made[3], made[4] = share, bucket
      else
        add_counted(counted, made, share, bucket)
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
  local at_sources = at_counters + #counters
  local values = redis.call('MGET', unpack(keys))
  local epoch = open_epoch(values[3], s[S_EPOCH])
  local early = precheck(epoch, s[S_KEEP] > 0 and values[1], args[2], now)
    or stale(versions, values, 3, needs[N_FROM], min(needs[N_UNTIL], s[S_NOT_AFTER]), now)
  if early then return early end
  local hold, asked
  if s[S_EXTENDS] then
    if not values[2] then return { MISSING, now } end
    hold, asked = load_hold(values[2])
    if is_over(hold, now) then return { ENDED, now, values[2] } end
  end
  local readings, funds, seen = needs[N_READINGS], needs[N_FUNDS], needs[N_SEEN]
  local allowed = read_counters(counters, shares, values, at_counters, readings, now)
  for i = 1, #keys - at_sources do funds[i] = tonumber(values[at_sources + i] or 0) end
  local draws, rest = draw(sources, funds, amount)
  allowed = allowed and rest == 0 and not s[S_REFUSED]
  if not allowed then draws = {} end
  local counted, ends, told, tallied = {}, {}, s[S_TALLIES] or {}, {}
  for i = 1, signals do
    local value, windows = values[at_signals + i], told[1] or EMPTY
    counted[i], ends[i] = count_signal(value, amount, now, seen, 6 * i - 6, windows, tallied)
  end
  local stood = read_velocity(told, tallied, now)
  local held_amount, expires = 0, 0
  if allowed and mode == MODE_HOLD then
    held_amount = amount + (hold and hold[H_AMOUNT] or 0)
    expires = s[S_TTL] > 0 and now + s[S_TTL] or hold[H_EXPIRES]
  end
  local o = needs[N_OUT]
  o[1], o[2], o[3], o[4], o[5], o[6] = allowed, now, readings, funds, draws, seen
  o[7], o[8], o[9] = held_amount, expires, tallied
  local out = cmsgpack.pack(o)
  if s[S_PROBE] and not allowed then return { ROOM, now, out } end
  if mode == MODE_DRY then return { DONE, now, out } end
  for i = 1, signals do
    write_signal(keys[at_signals + i], counted[i], ends[i])
  end
  add_velocity(told, stood, amount, allowed, now)
  if allowed then
    write_counters(counters, shares, values, at_counters, readings, keys, mode == MODE_CAPTURE,
      expires > 0 and expires + WINDOW_GRACE_MS or 0, now)
    pay(sources, funds, draws, keys, at_sources, values, at_sources)
    if mode == MODE_HOLD then
      local is_new = not hold
      if is_new then
        hold, asked = needs[N_HOLD], needs[N_BRIEF] .. args[3]
        hold[H_CREATED] = now
      end
      hold[H_AMOUNT], hold[H_EXPIRES] = held_amount, expires
      fill(hold, needs, draws, shares, is_new, now)
      redis.call('SET', hold_key, dump_hold(hold, asked))
      redis.call('ZADD', needs[N_DUE], expires, s[S_HOLD_ID])
    end
  end
  local kind = s[S_EXTENDS] and 'extend' or 'authorize'
  local id = record(needs[N_STREAM], epoch, kind, out, needs[N_RECORD], args[3],
    idempotency, s[S_KEEP], args[2], now)
  return { DONE, now, out, id }
end
