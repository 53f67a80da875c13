-- name: warm
-- keys: those of velocity counters
-- args: of each: kind, width, what happened before it was counted, the change since which it is
-- flags:
-- meaning: gateway.core.velocity.add_past
local function warm(keys, args)
  local told, now = cmsgpack.unpack(args[1]), clock_ms()
  for i = 1, #keys do
    local key, kind, width, past = keys[i], told[i][1], told[i][2], told[i][3]
    if kind == SIGNAL then
      warm_signal(key, told[i][4], width, past, now)
    elseif kind == DISTINCT then
      local latest = 0
      for at = 1, #past, 2 do
        redis.call('ZADD', key, 'GT', past[at + 1], past[at])
        latest = max(latest, past[at + 1])
      end
      local extra = redis.call('ZCARD', key) - MOST_DISTINCT
      if extra > 0 then redis.call('ZREMRANGEBYRANK', key, 0, extra - 1) end
      redis.call('PEXPIREAT', key, latest + width, 'NX')
      redis.call('PEXPIREAT', key, latest + width, 'GT')
    elseif kind == FIRST then
      local first, last, stood = past[2], past[3], redis.call('GET', key)
      if stood then
        local since, latest = struct.unpack('<dd', stood)
        first = since - last < width and min(first, since) or since
        last = max(last, latest)
      end
      write_first(key, width, first, last)
    else
      add_past(key, width, past, now)
    end
  end
  return #keys
end
