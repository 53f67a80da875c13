-- name: count
-- keys: signal
-- args: amount
-- flags:
-- meaning: gateway.core.signals for an entity that many orgs share; it lives in its own shard
local function count(keys, args)
  local seen, now = {}, clock_ms()
  local after, stays = count_signal(redis.call('GET', keys[1]), tonumber(args[1]), now, seen, 0)
  write_signal(keys[1], after, stays, now)
  return seen
end
