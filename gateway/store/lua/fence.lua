-- name: fence
-- keys: version
-- args: number
-- flags: allow-oom
-- meaning: raise a version to at least number (never lower it) and return what it is now
local function fence(keys, args)
  local current = tonumber(redis.call('GET', keys[1]) or 0)
  local wanted = tonumber(args[1])
  if wanted > current then
    redis.call('SET', keys[1], args[1])
    return wanted
  end
  return current
end
