-- Velocity signals; the same numbers as gateway.core.signals. Unrolled: one moment and three
-- windows of four numbers each stay in locals, which is most of what this costs.
local MINUTE_MS, HOUR_MS, DAY_MS = 60000, 3600000, 86400000
local SIGNAL_BUCKETS = 2
local THIRTEEN = '<ddddddddddddd'

-- A window's numbers (attempts, micros, and those of the bucket before) as of a later bucket.
local function rolled_on(buckets, n, micros)
  if buckets == 1 then return 0, 0, n, micros end
  return 0, 0, 0, 0
end

-- Write an entity's six numbers into `seen` behind `i`; return its signal after one more attempt,
-- and whether its key can stay: it lives as long as its longest window may count.
local function count_signal(value, amount, now, seen, i)
  local at, n1, a1, p1, q1, n2, a2, p2, q2, n3, a3, p3, q3 = now, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  local stays = false
  local into1, into2, into3 = now % MINUTE_MS, now % HOUR_MS, now % DAY_MS
  if value then
    at, n1, a1, p1, q1, n2, a2, p2, q2, n3, a3, p3, q3 = struct.unpack(THIRTEEN, value)
    stays = at >= now - into3
    -- Older than this minute; windows that are longer may still be the same.
    if at < now - into1 then
      n1, a1, p1, q1 = rolled_on((now - into1 - at + at % MINUTE_MS) / MINUTE_MS, n1, a1)
      if at < now - into2 then
        n2, a2, p2, q2 = rolled_on((now - into2 - at + at % HOUR_MS) / HOUR_MS, n2, a2)
        if not stays then
          n3, a3, p3, q3 = rolled_on((now - into3 - at + at % DAY_MS) / DAY_MS, n3, a3)
        end
      end
    end
    at = max(at, now)
  end
  local share1, share2 = (MINUTE_MS - into1) / MINUTE_MS, (HOUR_MS - into2) / HOUR_MS
  local share3 = (DAY_MS - into3) / DAY_MS
  local s1, t1, s2, t2 = p1 * share1, q1 * share1, p2 * share2, q2 * share2
  local s3, t3 = p3 * share3, q3 * share3
  seen[i + 1], seen[i + 2] = n1 + (s1 - s1 % 1), a1 + (t1 - t1 % 1)
  seen[i + 3], seen[i + 4] = n2 + (s2 - s2 % 1), a2 + (t2 - t2 % 1)
  seen[i + 5], seen[i + 6] = n3 + (s3 - s3 % 1), a3 + (t3 - t3 % 1)
  return struct.pack(THIRTEEN, at,
    n1 + 1, min(MAX_MICROS, a1 + amount), p1, q1,
    n2 + 1, min(MAX_MICROS, a2 + amount), p2, q2,
    n3 + 1, min(MAX_MICROS, a3 + amount), p3, q3), stays
end

local function write_signal(key, packed, stays, now)
  if stays then
    redis.call('SETRANGE', key, '0', packed)
  else
    redis.call('SET', key, packed, 'PXAT', now - now % DAY_MS + SIGNAL_BUCKETS * DAY_MS)
  end
end
