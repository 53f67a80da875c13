-- name: follow
-- keys: mark items
-- args: of each change of a list: number, expiry (0: never), whether the item is gone
-- flags:
-- meaning: gateway.core.velocity.follow
local function follow(keys, args)
  local told = cmsgpack.unpack(args[1])
  local mark = tonumber(redis.call('GET', keys[1]) or 0)
  for i = 2, #keys do
    local n, expires, is_gone = told[i - 1][1], told[i - 1][2], told[i - 1][3]
    if n > mark then
      if is_gone then
        redis.call('DEL', keys[i])
      elseif expires > 0 then
        redis.call('SET', keys[i], '1', 'PXAT', expires)
      else
        redis.call('SET', keys[i], '1')
      end
      mark = n
    end
  end
  redis.call('SET', keys[1], mark)
  return mark
end
