-- What scripts ask of the server they run on. Prefixed to those that need it.

-- Names the data that the server holds. A server takes a new replication id when
-- it starts and when it is promoted, that is, whenever its data may lack what was
-- written last; FLUSHALL is told by the absence of whatever was stored with it.
local function data_identity()
  return redis.call('INFO', 'replication'):match('master_replid:(%x+)')
end

local function milliseconds()
  local now = redis.call('TIME')
  return string.format('%d%03d', now[1], math.floor(now[2] / 1000))
end
