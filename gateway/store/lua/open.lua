-- name: open
-- keys: epoch*
-- args: epoch*
-- flags: allow-oom
-- meaning: open shards on this server, each at its epoch
local function open(keys, args)
  local id = own_run_id()
  for i = 1, #keys do
    local epoch = args[i]
    redis.call('SET', keys[i], epoch .. ':' .. id)
  end
  return #keys
end
