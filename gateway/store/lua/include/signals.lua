-- Velocity signals; the same numbers as gateway.core.signals. Unrolled: three windows of five
-- numbers each stay in locals, which is most of what this costs.
local SIGNAL_TTL_MS = 172800000
local MINUTE_MS, HOUR_MS, DAY_MS = 60000, 3600000, 86400000
local FIFTEEN = '<ddddddddddddddd'

-- One window as of bucket `here`: bucket, attempts, micros, and those of the bucket before.
local function rolled_pair(here, bucket, n, micros, n_before, micros_before)
  if bucket >= here then return bucket, n, micros, n_before, micros_before end
  if bucket == here - 1 then return here, 0, 0, n, micros end
  return here, 0, 0, 0, 0
end

-- Append an entity's six numbers to `seen`; return its signal after one more attempt.
local function count_signal(value, amount, now, seen)
  local b1, n1, a1, p1, q1, b2, n2, a2, p2, q2, b3, n3, a3, p3, q3 =
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  if value then
    b1, n1, a1, p1, q1, b2, n2, a2, p2, q2, b3, n3, a3, p3, q3 = struct.unpack(FIFTEEN, value)
  end
  local into1, into2, into3 = now % MINUTE_MS, now % HOUR_MS, now % DAY_MS
  b1, n1, a1, p1, q1 = rolled_pair((now - into1) / MINUTE_MS, b1, n1, a1, p1, q1)
  b2, n2, a2, p2, q2 = rolled_pair((now - into2) / HOUR_MS, b2, n2, a2, p2, q2)
  b3, n3, a3, p3, q3 = rolled_pair((now - into3) / DAY_MS, b3, n3, a3, p3, q3)
  local share1 = (MINUTE_MS - into1) / MINUTE_MS
  local share2 = (HOUR_MS - into2) / HOUR_MS
  local share3 = (DAY_MS - into3) / DAY_MS
  local at = #seen
  seen[at + 1], seen[at + 2] = n1 + floor(p1 * share1), a1 + floor(q1 * share1)
  seen[at + 3], seen[at + 4] = n2 + floor(p2 * share2), a2 + floor(q2 * share2)
  seen[at + 5], seen[at + 6] = n3 + floor(p3 * share3), a3 + floor(q3 * share3)
  return struct.pack(FIFTEEN,
    b1, n1 + 1, min(MAX_MICROS, a1 + amount), p1, q1,
    b2, n2 + 1, min(MAX_MICROS, a2 + amount), p2, q2,
    b3, n3 + 1, min(MAX_MICROS, a3 + amount), p3, q3)
end
