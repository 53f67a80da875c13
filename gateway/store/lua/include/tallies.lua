-- Tallies: what rules asked to be counted beyond the signals; the same as gateway.core.tallies.
local DISTINCT, SIGNAL = 1, 3
local MOST_DISTINCT = 128
local TALLY = 3 -- as told: key of a set, width, what it adds
local FIVE = '<ddddd'

local EMPTY = {}

-- A count as of the bucket `here`, or of its own where that is later.
local function count_of(value, here)
  if not value then return here, 0, 0, 0, 0 end
  local bucket, n, a, p, q = struct.unpack(FIVE, value)
  if bucket >= here then return bucket, n, a, p, q end
  if bucket == here - 1 then return here, 0, 0, n, a end
  return here, 0, 0, 0, 0
end

-- Append what tallies show to `seen`. They are told behind windows of signals: keys of counted
-- ones, their widths (negative: only read), sets, and entries of lists. Returns the counts as they
-- stood.
local function read_tallies(told, seen, now)
  local counts, widths, sets = told[2] or EMPTY, told[3], told[4] or EMPTY
  local values = #counts > 0 and redis.call('MGET', unpack(counts)) or EMPTY
  for i = 1, #counts do
    local width, value = widths[i], values[i]
    if width < 0 then width = -width end
    local into = now % width
    local bucket, n, a, p, q = count_of(value, (now - into) / width)
    local share = (width - into) / width
    local s, t = p * share, q * share
    seen[#seen + 1] = n + (s - s % 1)
    seen[#seen + 1] = a + (t - t % 1)
    values[i] = { value, bucket, n, a, p, q }
  end
  for at = 1, #sets, TALLY do
    seen[#seen + 1] = redis.call('ZCOUNT', sets[at], '(' .. now - sets[at + 1], '+inf')
  end
  local entries = told[5] or EMPTY
  if #entries > 0 then
    local standing = redis.call('MGET', unpack(entries))
    for i = 1, #entries do seen[#seen + 1] = standing[i] and 1 or 0 end
  end
  return values
end

local function add_to_tallies(told, values, amount, now)
  local counts, widths, sets = told[2] or EMPTY, told[3], told[4] or EMPTY
  for i = 1, #counts do
    local width, v = widths[i], values[i]
    if width > 0 then
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
end

-- Add to a count what `past` tells by bucket: number, attempts, micros.
local function add_past(key, width, past, now)
  local bucket, n, a, p, q = count_of(redis.call('GET', key), (now - now % width) / width)
  local adds
  adds, n, a, p, q = with_past(past, bucket, n, a, p, q)
  if adds then
    redis.call('SET', key, struct.pack(FIVE, bucket, n, a, p, q), 'PXAT', (bucket + 2) * width)
  end
end
