-- Signals: the numbers of gateway.core.entity_counters. The code is unrolled, so that one time and
-- three windows of four numbers each stay in locals: they are most of what a signal costs. Windows
-- that rules declare follow, each as since, width and its four numbers.
local MINUTE_MS, HOUR_MS, DAY_MS = 60000, 3600000, 86400000
local SIGNAL_BUCKETS = 2
local THIRTEEN, SIX = '<ddddddddddddd', '<dddddd'
local FIXED_BYTES, DECLARED_BYTES = 104, 48
local DECLARATION = 3 -- a declared window as it is sent: place of its signal, since, width

-- Roll a window's numbers (attempts, micros, and those of the bucket before) forward by buckets.
local function rolled_on(buckets, n, micros)
  if buckets == 1 then return 0, 0, n, micros end
  return 0, 0, 0, 0
end

-- Read a signal's declared window by its place. Returns since, width, and its numbers as of now.
local function declared_at(value, place, at, now)
  local from = FIXED_BYTES + 1 + DECLARED_BYTES * place
  local since, width, n, a, p, q = struct.unpack(SIX, value, from)
  local into = now % width
  if at < now - into then
    n, a, p, q = rolled_on((now - into - at + at % width) / width, n, a)
  end
  return since, width, n, a, p, q
end

-- Find a declared window of a signal. Returns its numbers as of now; zeros where there is none.
local function find_declared(value, count, at, now, since, width)
  for place = 0, count - 1 do
    local s, w, n, a, p, q = declared_at(value, place, at, now)
    if s == since and w == width then return n, a, p, q end
  end
  return 0, 0, 0, 0
end

-- Return whether a declared window of the signal `of` is among those that were sent.
local function is_among(windows, of, since, width)
  for i = 2, #windows, DECLARATION do
    if windows[i] == of and windows[i + 1] == since and windows[i + 2] == width then return true end
  end
  return false
end

-- Count an attempt in the declared windows of a signal, and append what they showed to `shown`.
-- `windows` is the rule change that every worker knows, then of each window the place of its signal
-- among the request's (this one's is `of`), since, width. Other windows of that change or an
-- earlier one are dropped. Returns the windows packed, whether the signal keeps its layout and its
-- buckets, and the widest window.
local function count_windows(value, at, windows, of, amount, now, shown)
  local count = value and (#value - FIXED_BYTES) / DECLARED_BYTES or 0
  local packed, stays, widest, place = '', true, 0, 0
  for i = 2, #windows, DECLARATION do
    if windows[i] == of then
      local since, width = windows[i + 1], windows[i + 2]
      local s, w, n, a, p, q
      if place < count then s, w, n, a, p, q = declared_at(value, place, at, now) end
      if s ~= since or w ~= width then
        n, a, p, q = find_declared(value, count, at, now, since, width)
        stays = false
      end
      local into = now % width
      if at < now - into then stays = false end
      if width > widest then widest = width end
      local share = (width - into) / width
      local t, u, size = p * share, q * share, #shown
      shown[size + 1], shown[size + 2] = n + (t - t % 1), a + (u - u % 1)
      local mine = struct.pack(SIX, since, width, n + 1, min(MAX_MICROS, a + amount), p, q)
      packed, place = packed .. mine, place + 1
    end
  end
  if stays and place == count then return packed, true, widest end
  for at_place = 0, count - 1 do
    local since, width, n, a, p, q = declared_at(value, at_place, at, now)
    local is_later = since > (windows[1] or 0)
    if is_later and n + a + p + q > 0 and not is_among(windows, of, since, width) then
      local mine = struct.pack(SIX, since, width, n, a, p, q)
      packed, widest = packed .. mine, max(widest, width)
    end
  end
  return packed, false, widest
end

-- Write an entity's six numbers into `seen` after `i`. Returns its signal after one more attempt,
-- and when its key expires (Unix ms; 0 where the expiry that the key has is right).
local function count_signal(value, amount, now, seen, i, windows, shown)
  local at, n1, a1, p1, q1, n2, a2, p2, q2, n3, a3, p3, q3 = now, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  local stays, more, widest, before = false, '', 0, now
  local into1, into2, into3 = now % MINUTE_MS, now % HOUR_MS, now % DAY_MS
  if value then
    at, n1, a1, p1, q1, n2, a2, p2, q2, n3, a3, p3, q3 = struct.unpack(THIRTEEN, value)
    stays = at >= now - into3
    -- The last attempt is older than this minute; longer windows may still be in their bucket.
    if at < now - into1 then
      n1, a1, p1, q1 = rolled_on((now - into1 - at + at % MINUTE_MS) / MINUTE_MS, n1, a1)
      if at < now - into2 then
        n2, a2, p2, q2 = rolled_on((now - into2 - at + at % HOUR_MS) / HOUR_MS, n2, a2)
        if not stays then
          n3, a3, p3, q3 = rolled_on((now - into3 - at + at % DAY_MS) / DAY_MS, n3, a3)
        end
      end
    end
    before, at = at, max(at, now)
  end
  local share1, share2 = (MINUTE_MS - into1) / MINUTE_MS, (HOUR_MS - into2) / HOUR_MS
  local share3 = (DAY_MS - into3) / DAY_MS
  local s1, t1, s2, t2 = p1 * share1, q1 * share1, p2 * share2, q2 * share2
  local s3, t3 = p3 * share3, q3 * share3
  seen[i + 1], seen[i + 2] = n1 + (s1 - s1 % 1), a1 + (t1 - t1 % 1)
  seen[i + 3], seen[i + 4] = n2 + (s2 - s2 % 1), a2 + (t2 - t2 % 1)
  seen[i + 5], seen[i + 6] = n3 + (s3 - s3 % 1), a3 + (t3 - t3 % 1)
  if #windows > 0 or value and #value > FIXED_BYTES then
    local same
    more, same, widest = count_windows(value, before, windows, i / 6, amount, now, shown)
    stays = stays and same
  end
  local packed = struct.pack(THIRTEEN, at,
    n1 + 1, min(MAX_MICROS, a1 + amount), p1, q1,
    n2 + 1, min(MAX_MICROS, a2 + amount), p2, q2,
    n3 + 1, min(MAX_MICROS, a3 + amount), p3, q3)
  packed = packed .. more
  if stays then return packed, 0 end
  local ends = now - into3 + SIGNAL_BUCKETS * DAY_MS
  if widest > 0 then ends = max(ends, now - now % widest + SIGNAL_BUCKETS * widest) end
  return packed, ends
end

-- Write a signal; `ends` 0 leaves the key's expiry as it is.
local function write_signal(key, packed, ends)
  if ends == 0 then
    redis.call('SETRANGE', key, '0', packed)
  else
    redis.call('SET', key, packed, 'PXAT', ends)
  end
end

-- Add `past` (by bucket: number, attempts, micros) to a window's numbers. Returns whether it has
-- anything of `bucket` or the one before, and the numbers with it.
local function with_past(past, bucket, n, a, p, q)
  local adds = false
  for i = 1, #past, 3 do
    if past[i] == bucket then
      n, a, adds = n + past[i + 1], min(MAX_MICROS, a + past[i + 2]), true
    elseif past[i] == bucket - 1 then
      p, q, adds = p + past[i + 1], min(MAX_MICROS, q + past[i + 2]), true
    end
  end
  return adds, n, a, p, q
end

-- Add `past` (by bucket: number, attempts, micros) to a declared window of a signal. All of it
-- happened before the entity's last attempt.
local function warm_signal(key, since, width, past, now)
  local value = redis.call('GET', key)
  local is_new = not value
  value = value or struct.pack(THIRTEEN, now, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  local at, count = struct.unpack('<d', value), (#value - FIXED_BYTES) / DECLARED_BYTES
  local here = (at - at % width) / width
  local adds, n, a, p, q =
    with_past(past, here, find_declared(value, count, at, at, since, width))
  if not adds then return end
  local mine, packed = struct.pack(SIX, since, width, n, a, p, q), string.sub(value, 1, FIXED_BYTES)
  local is_there = false
  for place = 0, count - 1 do
    local from = FIXED_BYTES + 1 + DECLARED_BYTES * place
    local s, w = struct.unpack('<dd', value, from)
    if s == since and w == width then
      packed, is_there = packed .. mine, true
    else
      local other = string.sub(value, from, from + DECLARED_BYTES - 1)
      packed = packed .. other
    end
  end
  if not is_there then packed = packed .. mine end
  local ends = max((here + 2) * width, at - at % DAY_MS + SIGNAL_BUCKETS * DAY_MS)
  if is_new then
    redis.call('SET', key, packed, 'PXAT', ends)
  else
    redis.call('SET', key, packed, 'KEEPTTL')
    redis.call('PEXPIREAT', key, ends, 'GT')
  end
end
