-- Tallies: what rules asked to be counted beyond the signals; the same as gateway.core.tallies.
local DISTINCT, LISTED = 1, 2
local MOST_DISTINCT = 128
local TALLY = 4 -- as told: kind, key, width, what it adds
local FIVE = '<ddddd'

local NONE = {}

-- A count as of the bucket `here`, or of its own where that is later.
local function count_of(value, here)
  if not value then return here, 0, 0, 0, 0 end
  local bucket, n, a, p, q = struct.unpack(FIVE, value)
  if bucket >= here then return bucket, n, a, p, q end
  if bucket == here - 1 then return here, 0, 0, n, a end
  return here, 0, 0, 0, 0
end

-- What tallies show. They are told as keys of counted ones, their widths (negative: only read), and
-- all others; nil for none. Returns what is seen, and the counts as they stood.
local function read_tallies(told, now)
  if not told then return NONE, NONE end
  local counts, widths, others = told[1], told[2], told[3]
  local seen, values = {}, {}
  if #counts > 0 then values = redis.call('MGET', unpack(counts)) end
  for i = 1, #counts do
    local width, value = widths[i], values[i]
    if width < 0 then width = -width end
    local into = now % width
    local bucket, n, a, p, q = count_of(value, (now - into) / width)
    local share = (width - into) / width
    local s, t = p * share, q * share
    seen[2 * i - 1], seen[2 * i] = n + (s - s % 1), a + (t - t % 1)
    values[i] = { value, bucket, n, a, p, q }
  end
  for at = 1, #others, TALLY do
    local kind, key = others[at], others[at + 1]
    if kind == LISTED then
      seen[#seen + 1] = redis.call('EXISTS', key)
    else
      seen[#seen + 1] = redis.call('ZCOUNT', key, '(' .. now - others[at + 2], '+inf')
    end
  end
  return seen, values
end

local function add_to_tallies(told, values, amount, now)
  if not told then return end
  local counts, widths, others = told[1], told[2], told[3]
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
  for at = 1, #others, TALLY do
    local kind, key, member = others[at], others[at + 1], others[at + 3]
    if kind == DISTINCT and member ~= '' then
      redis.call('ZADD', key, 'GT', now, member)
      if redis.call('ZCARD', key) > MOST_DISTINCT then redis.call('ZREMRANGEBYRANK', key, 0, 0) end
      redis.call('PEXPIREAT', key, now + others[at + 2])
    end
  end
end

-- Add to a count what `past` tells by bucket: number, attempts, micros.
local function add_past(key, width, past, now)
  local value, here = redis.call('GET', key), (now - now % width) / width
  local bucket, n, a, p, q = count_of(value, here)
  local adds = false
  for at = 1, #past, 3 do
    if past[at] == bucket then
      n, a, adds = n + past[at + 1], min(MAX_MICROS, a + past[at + 2]), true
    elseif past[at] == bucket - 1 then
      p, q, adds = p + past[at + 1], min(MAX_MICROS, q + past[at + 2]), true
    end
  end
  if adds then
    redis.call('SET', key, struct.pack(FIVE, bucket, n, a, p, q), 'PXAT', (bucket + 2) * width)
  end
end
