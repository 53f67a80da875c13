-- name: lock
-- keys: lock*
-- args: holder ttl_ms
-- flags: allow-oom
-- meaning: take or prolong the locks that are free or the holder's own; return which, by their
--          place among the keys
local function lock(keys, args)
  local found = {}
  for i = 1, #keys do
    local holder = redis.call('GET', keys[i])
    if not holder or holder == args[1] then
      redis.call('SET', keys[i], args[1], 'PX', args[2])
      found[#found + 1] = i
    end
  end
  return found
end
