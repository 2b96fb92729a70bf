-- Functions about the server that a script runs on. Prefixed to those that need them.

-- Returns a name of the data that the server holds. A server takes a new replication
-- id when it starts and when it is promoted: its data may then lack the latest writes.
-- FLUSHALL keeps the id, but removes what was stored beside it.
-- Returns "" if the server may not be asked.
local function data_identity()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and info:match('master_replid:(%x+)') or ''
end

local function milliseconds()
  local now = redis.call('TIME')
  return string.format('%d%03d', now[1], math.floor(now[2] / 1000))
end
