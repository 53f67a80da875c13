-- name: count
-- keys: signal
-- args: amount
-- flags:
-- meaning: gateway.core.signals for an entity that many orgs share; it lives in its own shard
local function count(keys, args)
  local seen, now = {}, clock_ms()
  local after = count_signal(redis.call('GET', keys[1]), tonumber(args[1]), now, seen)
  redis.call('SET', keys[1], after, 'PXAT', now + SIGNAL_TTL_MS)
  return seen
end
