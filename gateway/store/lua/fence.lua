-- name: fence
-- keys: version epoch
-- args: number
-- flags: allow-oom
-- meaning: raise a version to at least number (never lower it) and return what it is now; -1 while
--          the shard is closed: a rebuild would remove what is written then
local function fence(keys, args)
  if not open_epoch(redis.call('GET', keys[2]), 0) then return -1 end
  local current = tonumber(redis.call('GET', keys[1]) or 0)
  local wanted = tonumber(args[1])
  if wanted > current then
    redis.call('SET', keys[1], args[1])
    return wanted
  end
  return current
end
