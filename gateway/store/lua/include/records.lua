-- Records, idempotency and versions.

-- The payload kept under an idempotency key: digest (16 bytes), length of out, out, body.
local function keep(key, ttl, digest, out, body, now)
  if ttl > 0 then
    redis.call('SET', key, digest .. struct.pack('<I4', #out) .. out .. body, 'PXAT', now + ttl)
  end
end

-- CLOSED, REPLAY or REUSED as a reply; nil when the call is new.
local function precheck(epoch, kept, digest, now)
  if not epoch then return { CLOSED, now } end
  if not kept then return nil end
  if string.sub(kept, 1, 16) ~= digest then return { REUSED, now } end
  local size = struct.unpack('<I4', string.sub(kept, 17, 20))
  return { REPLAY, now, string.sub(kept, 21, 20 + size), string.sub(kept, 21 + size) }
end

-- STALE with the versions found, or nil when they and the time are the plan's.
local function stale(expected, values, first, from, untl, now)
  local is_stale = now < from or now >= untl
  for i = 1, #expected do
    if tonumber(values[first + i] or 0) ~= expected[i] then is_stale = true end
  end
  if not is_stale then return nil end
  local found = {}
  for i = 1, #expected do found[i] = tonumber(values[first + i] or 0) end
  return { STALE, now, cmsgpack.pack(found) }
end

-- One line of the shard's stream: its id is <epoch>-<seq>, gapless.
local function append(stream, epoch, kind, out, body)
  redis.call('XADD', stream, epoch .. '-*', 'k', kind, 'o', out, 'b', body)
end
