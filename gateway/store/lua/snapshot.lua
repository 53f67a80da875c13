-- name: snapshot
-- keys: stream | balances*
-- args:
-- flags: allow-oom
-- meaning: balances together with the id of the last record that may have moved them
local function snapshot(keys, args)
  local last = '0-0'
  if redis.call('EXISTS', keys[1]) == 1 then
    local info = redis.call('XINFO', 'STREAM', keys[1])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then last = info[i + 1] end
    end
  end
  return { last, clock_ms(), redis.call('MGET', unpack(keys, 2)) }
end
