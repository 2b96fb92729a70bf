-- Looks whether the index needs care. If so, it is the caller's turn to give it, unless
-- it is another's.
--
-- KEYS  marker, rest, turn
-- ARGV  token of the caller, length of the turn in ms
--
-- Returns {"rest"}       if the index is complete and was cleared not long ago,
--         {"busy"}       if it is somebody else's turn,
--         {"evicting"}   if the server may drop any key when its memory is full:
--                        the index can't be relied on then,
--         {"blind"}      if the caller may not ask the server whose data it holds: no
--                        loss of data would be noticed, so the index can't be relied
--                        on either,
--         {"incomplete" or "due", identity of the data, time in ms}  if the caller
--                        has the turn now.
local identity = data_identity()
if identity == '' then
  redis.call('DEL', KEYS[1])
  return { 'blind' }
end
local memory = redis.call('INFO', 'memory')
if not memory:find('maxmemory:0\r', 1, true) and memory:find('maxmemory_policy:allkeys', 1, true) then
  redis.call('DEL', KEYS[1])
  return { 'evicting' }
end
local complete = redis.call('GET', KEYS[1]) == identity
if complete and redis.call('EXISTS', KEYS[2]) == 1 then
  return { 'rest' }
end
if not redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return { 'busy' }
end
return { complete and 'due' or 'incomplete', identity, milliseconds() }
