-- name: snapshot
-- keys: stream | balances*
-- args:
-- flags: allow-oom
-- meaning: read balances together with the id of the last record that may have moved them
local function snapshot(keys, args)
  return { last_id(keys[1]), clock_ms(), redis.call('MGET', unpack(keys, 2)) }
end
