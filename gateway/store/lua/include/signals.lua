-- Velocity signals; the same numbers as gateway.core.signals.
local SIGNAL_TTL_MS = 172800000
local FIFTEEN = '<ddddddddddddddd'
local ZERO = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

-- Roll one window of five numbers to now, in place.
local function roll(s, i, here)
  local bucket = s[i]
  if bucket < here then
    if bucket == here - 1 then
      s[i + 3], s[i + 4] = s[i + 1], s[i + 2]
    else
      s[i + 3], s[i + 4] = 0, 0
    end
    s[i], s[i + 1], s[i + 2] = here, 0, 0
  end
end

-- Read an entity's signal into out and return it as it stands after one more attempt.
local function count_signal(value, amount, now, out)
  local s = value and { struct.unpack(FIFTEEN, value) } or { unpack(ZERO) }
  local i = 1
  for w = 1, 3 do
    local width = w == 1 and 60000 or (w == 2 and 3600000 or 86400000)
    roll(s, i, floor(now / width))
    local share = (width - now % width) / width
    local n = #out
    out[n + 1] = s[i + 1] + floor(s[i + 3] * share)
    out[n + 2] = s[i + 2] + floor(s[i + 4] * share)
    s[i + 1] = s[i + 1] + 1
    s[i + 2] = min(MAX_MICROS, s[i + 2] + amount)
    i = i + 5
  end
  return struct.pack(FIFTEEN, unpack(s, 1, 15))
end
