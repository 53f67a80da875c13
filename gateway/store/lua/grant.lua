-- name: grant
-- keys: stream due | epoch idempotency shortfall balance grants version
-- args: spec digest body meta
-- flags:
-- meaning: gateway.core.machine.grant
-- spec: org, currency, grant id, kind, amount, expiry (0: none), idempotency ttl, epoch,
-- whether it pays an open shortfall first
local function grant(keys, args)
  local s = cmsgpack.unpack(args[1])
  local now = clock_ms()
  local values = redis.call('MGET', keys[3], keys[4], keys[5])
  local epoch = open_epoch(values[1], s[8])
  local early = precheck(epoch, s[7] > 0 and values[2], args[2], now)
  if early then return early end
  local settled = s[9] and min(tonumber(values[3] or 0), s[5]) or 0
  local left = s[5] - settled
  local out = cmsgpack.pack({ now, s[4], s[3], s[1], s[2], s[5], settled, 0, left, {} })
  if settled > 0 then redis.call('DECRBY', keys[5], settled) end
  redis.call('SET', keys[6], left)
  redis.call('HSET', keys[7], s[3], args[4])
  redis.call('INCR', keys[8])
  if s[6] > 0 then redis.call('ZADD', keys[2], s[6], due_grant(s[1], s[3])) end
  local id = record(keys[1], epoch, 'grant', out, '', args[3], keys[4], s[7], args[2], now)
  return { DONE, now, out, id }
end
