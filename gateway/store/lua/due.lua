-- name: due
-- keys: due*
-- args:
-- flags: allow-oom
-- meaning: return which of these shards have something that ends by now, by their place among the
--          keys
local function due(keys, args)
  local now, found = clock_ms(), {}
  for i = 1, #keys do
    local first = redis.call('ZRANGE', keys[i], '0', '0', 'WITHSCORES')
    if first[2] and tonumber(first[2]) <= now then found[#found + 1] = i end
  end
  return found
end
