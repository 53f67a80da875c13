-- name: restore
-- keys: lock epoch | those of the commands
-- args: holder, then for each command how many parts it has, and its parts
-- flags: allow-oom
-- meaning: run commands on a closed shard for the holder of its lock; -1 where the caller is not
--          the holder, -2 where the shard is open
local function restore(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then return -1 end
  if open_epoch(redis.call('GET', keys[2]), 0) then return -2 end
  local at, count = 2, 0
  while at <= #args do
    local parts = tonumber(args[at])
    redis.call(unpack(args, at + 1, at + parts))
    at, count = at + 1 + parts, count + 1
  end
  return count
end
