-- Epochs, records, idempotency and versions.

-- A shard is open on the server that opened it: its epoch is stored as <epoch>:<run id>. So a
-- server that started anew, or a replica that became primary, finds it closed until it is opened
-- again.
local run_id
local epochs = {}

local function own_run_id()
  run_id = run_id or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return run_id
end

-- Return the epoch as text; nil when the shard is closed, or when its epoch is older than `least`,
-- the one that the caller knows of.
local function open_epoch(value, least)
  if not value then return nil end
  local epoch = epochs[value]
  if not epoch then
    local id
    epoch, id = string.match(value, '^(%d+):(%x+)$')
    if id ~= own_run_id() then return nil end
    epochs[value] = epoch
  end
  if tonumber(epoch) < least then return nil end
  return epoch
end

-- Return CLOSED, REPLAY or REUSED as a reply; nil when the call is new.
local function precheck(epoch, kept, digest, now)
  if not epoch then return { CLOSED, now } end
  if not kept then return nil end
  if string.sub(kept, 1, 16) ~= digest then return { REUSED, now } end
  local size = struct.unpack('<I4', string.sub(kept, 17, 20))
  return { REPLAY, now, string.sub(kept, 21, 20 + size), string.sub(kept, 21 + size) }
end

-- Return STALE with the versions found, or nil when they and the time are the plan's.
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

-- Return the id of a stream's last record, trimmed or not.
local function last_id(stream)
  if redis.call('EXISTS', stream) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

-- Append one record to the shard's stream. Its id is <epoch>-<seq>, gapless: the store itself
-- numbers the records of an epoch. `terms` is the beginning of the body, which many records share.
-- A call with an idempotency key (ttl in ms > 0) stores its result under it: digest (16 bytes),
-- length of out, out, body. The record names the stored result by its expiry, digest and key.
-- Returns the id.
local function record(stream, epoch, kind, out, terms, body, key, ttl, digest, now)
  local kept = ''
  if ttl > 0 then
    local asked = terms .. body
    local value = digest .. struct.pack('<I4', #out) .. out .. asked
    redis.call('SET', key, value, 'PXAT', now + ttl)
    kept = struct.pack('<d', now + ttl) .. digest .. key
  end
  return redis.call('XADD', stream, epoch .. '-*', 'k', kind, 'o', out, 't', terms, 'b', body,
    'i', kept)
end
