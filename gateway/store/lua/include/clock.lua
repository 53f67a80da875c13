-- Return the store's clock in Unix ms: it alone decides windows and expiry.
local function clock_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
