-- name: finish
-- keys: stream due | epoch idempotency hold versions* sources*
-- args: spec digest body tag
-- flags: allow-oom
-- meaning: gateway.core.settle.finish
-- spec: step, cost, finals, from, until, idempotency ttl, has_sources, keep, hold id, versions,
--       sources, epoch
local function finish(keys, args)
  local s = cmsgpack.unpack(args[1])
  local step, cost, versions, sources, hold_id = s[1], s[2], s[10], s[11], s[9]
  -- What a captured request leaves in counters, by what they measure.
  local finals = {}
  for i = 1, #s[3], 2 do finals[s[3][i]] = s[3][i + 1] end
  local now = clock_ms()
  local n_sources = #sources / SOURCE
  local values = redis.call('MGET', unpack(keys, 3, 5 + #versions + n_sources))
  local epoch = open_epoch(values[1], s[12])
  local early = precheck(epoch, s[6] > 0 and values[2], args[2], now)
  if early then return early end
  if not values[3] then return { MISSING, now } end
  local hold, asked = load_hold(values[3])
  local open = hold[H_STATUS] == HELD and (step == STEP_CAPTURE or now < hold[H_EXPIRES])
  local late = hold[H_STATUS] == EXPIRED and step == STEP_CAPTURE
  if not open and not late then return { ENDED, now, values[3] } end
  local held = hold[H_STATUS] == HELD and hold[H_AMOUNT] or 0
  local excess, shortfall, funds, draws = {}, 0, {}, {}
  if cost > held then
    local behind = stale(versions, values, 3, s[4], s[5], now)
    if behind then return behind end
    if s[7] == 0 then return { STALE, now, cmsgpack.pack({}) } end
    for i = 1, n_sources do funds[i] = tonumber(values[3 + #versions + i] or 0) end
    draws, shortfall = draw(sources, funds, cost - held)
    -- Only an org's own debt is a balance here; a free user's is on the plan's books alone.
    if shortfall > 0 and not is_collective(hold[H_BOOK]) then
      local debt = redis.call('GET', shortfall_key(args[4], hold[H_ORG]))
      if tonumber(debt or 0) + shortfall > MAX_MICROS then return { RANGE, now } end
    end
    excess = parts_of(sources, draws)
  end
  pay(sources, funds, draws, keys, 5 + #versions, values, 3 + #versions)
  local out = end_hold(args[4], hold_id, hold, step, cost, finals, excess, shortfall, now)
  redis.call('SET', keys[5], dump_hold(hold, asked), 'PXAT', now + s[8])
  redis.call('ZREM', keys[2], hold_id)
  local id = record(keys[1], epoch, 'finish', out, '', args[3], keys[4], s[6], args[2], now)
  return { DONE, now, out, id }
end
