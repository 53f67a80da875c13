-- Counters and balances. The arithmetic is that of gateway.core.counters and machine_steps.draw, in
-- the same order of floating-point operations: another order would round differently.

-- The global `math` cannot be reached while a library loads.
local function min(a, b) return a < b and a or b end
local function max(a, b) return a > b and a or b end

-- Roll a SLIDING value forward to bucket `here`. Returns (current, previous).
local function rolled(value, here)
  local bucket, current, previous = struct.unpack('<ddd', value)
  if bucket >= here then return current, previous end
  if bucket == here - 1 then return 0, current end
  return 0, 0
end

-- Take amount from the sources in their order, from each down to its floor. Returns what each gives
-- and what is left unpaid. A source's spec is four values: floor, expiry, perishable, name.
local SOURCE = 4
local function draw(spec, funds, amount)
  local draws = {}
  for i = 1, #funds do
    local part = min(max(0, funds[i] - spec[SOURCE * i - 3]), amount)
    draws[i] = part
    amount = amount - part
  end
  return draws, amount
end

-- List what was drawn, for the record: name, amount, gone, expiry of a balance that the draw may
-- have created.
local function parts_of(spec, draws)
  local parts = {}
  for i = 1, #draws do
    if draws[i] > 0 then
      parts[#parts + 1] = { spec[SOURCE * i], draws[i], false, spec[SOURCE * i - 2] }
    end
  end
  return parts
end

-- Lower each balance by its draw; a balance that a draw creates gets its expiry.
local function pay(spec, funds, draws, keys, first, values, first_value)
  for i = 1, #draws do
    local part = draws[i]
    if part > 0 then
      local key, expires = keys[first + i], spec[SOURCE * i - 2]
      if values[first_value + i] or expires == 0 then
        redis.call('DECRBY', key, part)
      else
        redis.call('SET', key, funds[i] - part, 'PXAT', expires)
      end
    end
  end
end
