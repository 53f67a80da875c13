-- Ends of holds and grants; the meaning is gateway.core.settle.

-- What counters of each shape measured before holds said it: gateway.core.holds.MEASURES_BY_SHAPE.
local MEASURES = { [WINDOW] = 0, [SLIDING] = 2, [GAUGE] = 3 }

-- Make every plan that was made from the org's grants stale.
local function bump_grants(tag, org)
  redis.call('INCR', grants_version_key(tag, org))
end

-- Charge the first draws up to cost, release the rest. To a perishable balance that is gone nothing
-- returns.
local function split(tag, hold, cost)
  local kept, back = {}, {}
  local prefix = org_prefix(tag, hold[H_ORG])
  for i = 1, #hold[H_DRAWS] do
    local taken = hold[H_DRAWS][i]
    local stays = min(taken[2], cost)
    cost = cost - stays
    if stays > 0 then kept[#kept + 1] = { taken[1], stays, false, 0 } end
    if taken[2] > stays then
      local key = prefix .. taken[1]
      local value = redis.call('GET', key)
      local gone = taken[3] and not value
      back[#back + 1] = { taken[1], taken[2] - stays, gone, 0 }
      if not gone then
        redis.call('INCRBY', key, taken[2] - stays)
        if is_grant(taken[1]) and tonumber(value or 0) == 0 then
          bump_grants(tag, hold[H_ORG])
        end
      end
    end
  end
  return kept, back
end

-- Change the bucket that a hold was counted in, if the SLIDING counter still has that bucket.
local function uncount_sliding(key, value, entry, change)
  local bucket, current, previous = struct.unpack('<ddd', value)
  if bucket == entry[4] then
    current = min(MAX_MICROS, max(0, current + change))
  elseif bucket == entry[4] + 1 then
    previous = min(MAX_MICROS, max(0, previous + change))
  end
  redis.call('SETRANGE', key, '0', struct.pack('<ddd', bucket, current, previous))
end

-- Split what a hold finally used over its entries: gateway.core.holds.final_parts.
local function final_parts(counted, step, finals)
  local last, rest, parts = {}, {}, {}
  for i = 1, #counted do last[counted[i][1]] = i end
  for i = 1, #counted do
    local entry, final = counted[i], 0
    if step == STEP_CAPTURE then
      local name = entry[1]
      -- A hold of an earlier version does not say what its counters measure.
      local total = rest[name] or finals[entry[6] or MEASURES[entry[2]]]
      if not total then
        final = entry[3]
      else
        final = last[name] == i and total or min(total, entry[3])
        rest[name] = total - final
      end
    end
    parts[i] = final
  end
  return parts
end

-- Take the hold out of every counter that still exists, and leave what it finally used. `finals` is
-- that by measure; a captured request keeps its estimate of a measure that is not in it.
local function uncount(tag, hold, step, finals, was_held)
  local prefix = org_prefix(tag, hold[H_ORG])
  local parts = final_parts(hold[H_COUNTED], step, finals)
  for i = 1, #hold[H_COUNTED] do
    local entry, final = hold[H_COUNTED][i], parts[i]
    local key = prefix .. entry[1]
    local value = redis.call('GET', key)
    if value then
      local given = was_held and entry[3] or 0
      if entry[2] == WINDOW then
        local used, held = struct.unpack('<dd', value)
        used, held = min(MAX_MICROS, used + final), max(0, held - given)
        redis.call('SETRANGE', key, '0', struct.pack('<dd', used, held))
      elseif entry[2] == GAUGE then
        if tonumber(value) - given > 0 then
          redis.call('DECRBY', key, given)
        else
          redis.call('DEL', key)
        end
      else
        uncount_sliding(key, value, entry, final - given)
      end
    end
  end
end

-- End a hold. excess and shortfall are what a capture above the hold drew beyond it. Returns the
-- packed gateway.core.commands.Ended.
local function end_hold(tag, hold_id, hold, step, cost, finals, excess, shortfall, now)
  local was_held = hold[H_STATUS] == HELD
  local held = was_held and hold[H_AMOUNT] or 0
  local kept, back = {}, {}
  if was_held then kept, back = split(tag, hold, cost) end
  if shortfall > 0 and not is_collective(hold[H_BOOK]) then
    redis.call('INCRBY', shortfall_key(tag, hold[H_ORG]), shortfall)
  end
  uncount(tag, hold, step, finals, was_held)
  hold[H_LATE] = step == STEP_CAPTURE and now >= hold[H_EXPIRES]
  hold[H_STATUS] = step
  hold[H_SHORTFALL], hold[H_ENDED] = shortfall, now
  hold[H_CAPTURED], hold[H_RELEASED] = cost - shortfall, max(0, held - cost)
  local draws = {}
  for i = 1, #kept do draws[#draws + 1] = { kept[i][1], kept[i][2], false } end
  for i = 1, #excess do draws[#draws + 1] = { excess[i][1], excess[i][2], false } end
  hold[H_DRAWS] = draws
  return cmsgpack.pack({
    now, hold_id, step, hold[H_ORG], hold[H_BOOK], hold[H_CURRENCY], hold[H_PRODUCT], held,
    hold[H_CAPTURED], hold[H_RELEASED], shortfall, hold[H_LATE], kept, back, excess,
  })
end

-- Remove a grant. Returns what was left of it, or nil when there is no such grant.
local function end_grant(tag, org, grant_id, due)
  local balance = grant_key(tag, org, grant_id)
  local left = redis.call('GET', balance)
  if not left then return nil end
  redis.call('DEL', balance)
  redis.call('HDEL', grants_key(tag, org), grant_id)
  redis.call('ZREM', due, due_grant(org, grant_id))
  bump_grants(tag, org)
  return tonumber(left)
end
