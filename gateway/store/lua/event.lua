-- name: event
-- keys: stream epoch idempotency | those of velocity counters
-- args: spec digest body
-- flags:
-- meaning: gateway.core.machine.event
-- spec: org, type, id, when it happened, amount, idempotency ttl, epoch, widths of counters
local function event(keys, args)
  local s, now = cmsgpack.unpack(args[1]), clock_ms()
  local values = redis.call('MGET', keys[2], keys[3])
  local epoch = open_epoch(values[1], s[7])
  local early = precheck(epoch, s[6] > 0 and values[2], args[2], now)
  if early then return early end
  local at, widths = min(s[4], now), s[8]
  for i = 4, #keys do
    local width = widths[i - 3]
    add_past(keys[i], width, { (at - at % width) / width, 1, s[5] }, now)
  end
  local out = cmsgpack.pack({ now, s[2], s[3], s[1], '', 0, 0, 0, 0, {} })
  local id = record(keys[1], epoch, 'event', out, '', args[3], keys[3], s[6], args[2], now)
  return { DONE, now, out, id }
end
