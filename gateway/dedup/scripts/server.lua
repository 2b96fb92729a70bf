-- Functions about the server that a script runs on. Prefixed to those that need them.

-- Returns a name of the data that the server holds. A server takes a new replication
-- id when it starts and when it is promoted: its data may then lack the latest writes.
-- FLUSHALL keeps the id, but removes what was stored beside it.
local function data_identity()
  return redis.call('INFO', 'replication'):match('master_replid:(%x+)')
end

local function milliseconds()
  local now = redis.call('TIME')
  return string.format('%d%03d', now[1], math.floor(now[2] / 1000))
end
