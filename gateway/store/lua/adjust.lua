-- name: adjust
-- keys: stream | epoch idempotency shortfall adjustments held versions* sources*
-- args: spec digest body
-- flags:
-- meaning: gateway.core.machine.adjust
-- spec: org, currency, kind, amount, target (-1: none), from, until, idempotency ttl, versions,
--       sources, epoch
local function adjust(keys, args)
  local s = cmsgpack.unpack(args[1])
  local versions, sources = s[9], s[10]
  local now = clock_ms()
  local n_sources = #sources / SOURCE
  local values = redis.call('MGET', unpack(keys, 2, 6 + #versions + n_sources))
  local epoch = open_epoch(values[1], s[11])
  local early = precheck(epoch, s[8] > 0 and values[2], args[2], now)
    or stale(versions, values, 5, s[6], s[7], now)
  if early then return early end
  local funds, available = {}, 0
  for i = 1, n_sources do
    funds[i] = tonumber(values[5 + #versions + i] or 0)
    available = available + max(0, funds[i] - sources[SOURCE * i - 3])
  end
  local amount = s[5] >= 0 and s[5] - available or s[4]
  local debt, balance = tonumber(values[3] or 0), tonumber(values[4] or 0)
  local draws, rest = draw(sources, funds, max(0, -amount))
  local largest = max(max(available, max(amount, -amount)), debt + rest)
  if max(largest, max(balance, available) + tonumber(values[5] or 0) + amount) > MAX_MICROS then
    return { RANGE, now }
  end
  local parts = parts_of(sources, draws)
  local out = cmsgpack.pack({
    now, s[3], '', s[1], s[2], amount, 0, rest, available + amount + rest, parts,
  })
  if amount > 0 then redis.call('INCRBY', keys[5], amount) end
  pay(sources, funds, draws, keys, 6 + #versions, values, 5 + #versions)
  if rest > 0 then redis.call('INCRBY', keys[4], rest) end
  local id = record(keys[1], epoch, 'adjust', out, '', args[3], keys[3], s[8], args[2], now)
  return { DONE, now, out, id }
end
