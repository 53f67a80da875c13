-- name: void
-- keys: stream due | epoch idempotency balance
-- args: spec digest body tag
-- flags: allow-oom
-- meaning: gateway.core.machine.void
-- spec: org, currency, grant id, idempotency ttl, epoch
local function void(keys, args)
  local s = cmsgpack.unpack(args[1])
  local now = clock_ms()
  local values = redis.call('MGET', keys[3], keys[4], keys[5])
  local epoch = open_epoch(values[1], s[5])
  local early = precheck(epoch, s[4] > 0 and values[2], args[2], now)
  if early then return early end
  if not values[3] then return { MISSING, now } end
  local left = tonumber(values[3])
  local out = cmsgpack.pack({ now, 'void', s[3], s[1], s[2], -left, 0, 0, 0, {} })
  end_grant(args[4], s[1], s[3], keys[2])
  local id = record(keys[1], epoch, 'void', out, '', args[3], keys[4], s[4], args[2], now)
  return { DONE, now, out, id }
end
