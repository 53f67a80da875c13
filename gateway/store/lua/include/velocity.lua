-- Velocity counters beyond the signals, which rules ask for; the same as gateway.core.velocity.
local DISTINCT, SIGNAL, FIRST = 1, 3, 4
local MOST_DISTINCT = 128
local TALLY = 3 -- a set as it is sent: key, width, the member that the request adds
local FIVE = '<ddddd'
local ALWAYS, IF_REFUSED = 1, 2 -- when a request adds to a count; the same as codec.WHENS

local EMPTY = {}

-- Roll a count forward to the bucket `here`; one whose bucket is later stays there.
local function count_of(value, here)
  if not value then return here, 0, 0, 0, 0 end
  local bucket, n, a, p, q = struct.unpack(FIVE, value)
  if bucket >= here then return bucket, n, a, p, q end
  if bucket == here - 1 then return here, 0, 0, n, a end
  return here, 0, 0, 0, 0
end

-- Return since when an entity has been seen: now, unless it was seen less than a width ago.
local function first_met(value, width, now)
  if not value then return now end
  local first, last = struct.unpack('<dd', value)
  return now - last < width and first or now
end

-- Write since when, and when last, an entity was seen; the key goes a width after the last time.
local function write_first(key, width, first, last)
  redis.call('SET', key, struct.pack('<dd', first, last), 'PXAT', last + width)
end

-- Append what the velocity counters show to `seen`. They are sent after the windows of signals:
-- keys of counts, their widths, when they are added to, sets, keys and widths of first times, and
-- keys of list items (codec.velocity_spec). Returns the counts as they were, then the first
-- times.
local function read_velocity(told, seen, now)
  local counts, widths, sets = told[2] or EMPTY, told[3], told[5] or EMPTY
  local values = #counts > 0 and redis.call('MGET', unpack(counts)) or {}
  for i = 1, #counts do
    local width, value = widths[i], values[i]
    local into = now % width
    local bucket, n, a, p, q = count_of(value, (now - into) / width)
    local share = (width - into) / width
    local s, t = p * share, q * share
    seen[#seen + 1] = n + (s - s % 1)
    seen[#seen + 1] = a + (t - t % 1)
    values[i] = { value, bucket, n, a, p, q }
  end
  for at = 1, #sets, TALLY do
    local since = now - sets[at + 1]
    seen[#seen + 1] = redis.call('ZCOUNT', sets[at], '(' .. since, '+inf')
    local met = sets[at + 2] ~= '' and redis.call('ZSCORE', sets[at], sets[at + 2])
    seen[#seen + 1] = met and tonumber(met) > since and 1 or 0
  end
  local firsts, entries = told[6] or EMPTY, told[7] or EMPTY
  for at = 1, #firsts, 2 do
    local first = first_met(redis.call('GET', firsts[at]), firsts[at + 1], now)
    values[#counts + at] = first
    seen[#seen + 1] = min(firsts[at + 1], max(0, now - first))
  end
  if #entries > 0 then
    local standing = redis.call('MGET', unpack(entries))
    for i = 1, #entries do seen[#seen + 1] = standing[i] and 1 or 0 end
  end
  return values
end

-- Count a request in the velocity counters that it adds to; `values` is what was read of them.
local function add_velocity(told, values, amount, allowed, now)
  local counts, widths, sets = told[2] or EMPTY, told[3], told[5] or EMPTY
  for i = 1, #counts do
    local width, v, when = widths[i], values[i], told[4][i]
    if when == ALWAYS or when == IF_REFUSED and not allowed then
      local bucket, micros = v[2], min(MAX_MICROS, v[4] + amount)
      local packed = struct.pack(FIVE, bucket, v[3] + 1, micros, v[5], v[6])
      if v[1] and struct.unpack('<d', v[1]) == bucket then
        redis.call('SETRANGE', counts[i], '0', packed)
      else
        redis.call('SET', counts[i], packed, 'PXAT', (bucket + 2) * width)
      end
    end
  end
  for at = 1, #sets, TALLY do
    local key, member = sets[at], sets[at + 2]
    if member ~= '' then
      redis.call('ZADD', key, 'GT', now, member)
      if redis.call('ZCARD', key) > MOST_DISTINCT then redis.call('ZREMRANGEBYRANK', key, 0, 0) end
      redis.call('PEXPIREAT', key, now + sets[at + 1])
    end
  end
  local firsts = told[6] or EMPTY
  for at = 1, #firsts, 2 do
    write_first(firsts[at], firsts[at + 1], values[#counts + at], now)
  end
end

-- Add `past` (by bucket: number, attempts, micros) to a count.
local function add_past(key, width, past, now)
  local bucket, n, a, p, q = count_of(redis.call('GET', key), (now - now % width) / width)
  local adds
  adds, n, a, p, q = with_past(past, bucket, n, a, p, q)
  if adds then
    redis.call('SET', key, struct.pack(FIVE, bucket, n, a, p, q), 'PXAT', (bucket + 2) * width)
  end
end
