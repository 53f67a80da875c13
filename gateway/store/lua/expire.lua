-- name: expire
-- keys: stream due epoch
-- args: tag limit late_capture_ms least_epoch
-- flags: allow-oom
-- meaning: gateway.core.settle.sweep
-- End a hold that is due. An expired hold stays for `keep_ms`, in which it may be captured late.
local function expire_hold(keys, tag, epoch, member, keep_ms, now)
  local key = hold_key(tag, member)
  local hold, asked = load_hold(redis.call('GET', key))
  local out = end_hold(tag, member, hold, STEP_EXPIRE, 0, EMPTY, {}, 0, now)
  redis.call('SET', key, dump_hold(hold, asked), 'PXAT', now + keep_ms)
  redis.call('ZREM', keys[2], member)
  return { 'finish', out, record(keys[1], epoch, 'finish', out, '', '', '', 0, '', now) }
end

-- End a grant that is due. The first three letters of its metadata are its currency.
local function expire_grant(keys, tag, epoch, org, grant_id, now)
  local meta = redis.call('HGET', grants_key(tag, org), grant_id)
  local left = end_grant(tag, org, grant_id, keys[2])
  local currency = string.sub(meta, 1, 3)
  local out = cmsgpack.pack({ now, 'lapse', grant_id, org, currency, -left, 0, 0, 0, {} })
  return { 'lapse', out, record(keys[1], epoch, 'lapse', out, '', '', '', 0, '', now) }
end

local function expire(keys, args)
  local epoch = open_epoch(redis.call('GET', keys[3]), tonumber(args[4]))
  if not epoch then return { CLOSED, 0 } end
  local now = clock_ms()
  local due = redis.call('ZRANGEBYSCORE', keys[2], '-inf', now, 'LIMIT', 0, args[2])
  local found = { DONE, now }
  for _, member in ipairs(due) do
    local org, grant_id = grant_due(member)
    if org then
      found[#found + 1] = expire_grant(keys, args[1], epoch, org, grant_id, now)
    else
      found[#found + 1] = expire_hold(keys, args[1], epoch, member, args[3], now)
    end
  end
  return found
end
