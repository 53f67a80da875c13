-- name: backlog
-- keys: stream*
-- args:
-- flags: allow-oom
-- meaning: count the records in these streams
local function backlog(keys, args)
  local count = 0
  for i = 1, #keys do count = count + redis.call('XLEN', keys[i]) end
  return count
end
