-- name: offer
-- keys: offers epoch
-- args: ttl_ms record*
-- flags: allow-oom
-- meaning: offer acknowledged records of a closed shard to the worker that opens it; an open shard
--          needs none
local function offer(keys, args)
  if open_epoch(redis.call('GET', keys[2]), 0) then return 0 end
  redis.call('RPUSH', keys[1], unpack(args, 2))
  redis.call('PEXPIRE', keys[1], args[1])
  return #args - 1
end
