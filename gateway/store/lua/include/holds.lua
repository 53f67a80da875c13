-- A hold is stored as: length of its state, state (cmsgpack array), what was asked.
-- The state's fields are those of gateway.core.holds.Hold, in order.
local H_STATUS, H_ORG, H_BOOK, H_CURRENCY, H_PRODUCT = 1, 2, 3, 4, 5
local H_AMOUNT, H_CREATED, H_EXPIRES, H_DRAWS, H_COUNTED = 6, 7, 8, 9, 10
local H_LATE, H_CAPTURED, H_RELEASED, H_SHORTFALL, H_ENDED = 11, 12, 13, 14, 15

-- Unpack a stored hold. Returns its state and what was asked.
local function load_hold(value)
  local size = struct.unpack('<I4', string.sub(value, 1, 4))
  return cmsgpack.unpack(string.sub(value, 5, 4 + size)), string.sub(value, 5 + size)
end

-- Pack a hold to store it.
local function dump_hold(hold, asked)
  local state = cmsgpack.pack(hold)
  return struct.pack('<I4', #state) .. state .. asked
end

-- Find an entry by its name (its first field).
local function find(entries, name)
  for i = 1, #entries do
    if entries[i][1] == name then return entries[i] end
  end
  return nil
end

-- Return whether a hold has ended or is due.
local function is_over(hold, now)
  return hold[H_STATUS] ~= HELD or now >= hold[H_EXPIRES]
end
