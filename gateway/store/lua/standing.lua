-- name: standing
-- keys: stream, epoch; and so on for each shard
-- args:
-- flags: allow-oom
-- meaning: return of each shard whether it is open here, the epoch that is stored (0 where none
--          is), and its last record's id
local function standing(keys, args)
  local found = {}
  for i = 1, #keys, 2 do
    local value = redis.call('GET', keys[i + 1])
    local epoch = value and string.match(value, '^%d+') or '0'
    found[#found + 1] = { open_epoch(value, 0) and 1 or 0, epoch, last_id(keys[i]) }
  end
  return found
end
