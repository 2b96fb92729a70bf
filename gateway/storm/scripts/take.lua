-- Takes a batch that is due, for a turn. No other flusher gets the batch before the turn
-- is over.
--
-- call  id of the batch
--
-- Returns a decision:
--   none     there is nothing to do about the batch now
--   closed   a window has ended and was removed, and batch, kind, opened, members,
--            name, object, lasted: ms from its opening to its last alert
--   flush    each pending member is to get an object of its own, and batch, kind,
--            opened, members, name, object, fence, pending
--   window   the window's object is to hold the pending members, and as for flush,
--            first, filler, severest
--
-- The fence grows with each turn on the batch. Scripts that get it refuse to work for
-- a turn that another has followed. Members that a window took in the last moments
-- (grace) are left to their requests.
local id = call.id
local at = redis.call('ZSCORE', due, ref(id))
if not at or tonumber(at) > now then return { 'decision', 'none' } end
local batch = load(id)
if not batch then
  redis.call('ZREM', due, ref(id))
  return { 'decision', 'none' }
end
local list
if batch.state ~= 'open' then
  retire(batch)
  list = members(id, '+inf')
elseif not batch.object then
  list = members(id, '+inf')
else
  list = members(id, now - grace)
end
if #list > 0 then
  redis.call('ZADD', due, now + settings.turn, ref(id))
  local fence = redis.call('HINCRBY', metadata(id), 'fence', 1)
  if batch.state == 'flush' then return describe('flush', batch, 'fence', fence, 'pending', list) end
  return describe('window', batch, 'fence', fence, contents(batch, list))
end
local oldest = redis.call('ZRANGE', pending(id), 0, 0, 'WITHSCORES')
if oldest[2] then
  redis.call('ZADD', due, tonumber(oldest[2]) + grace, ref(id))
elseif batch.state == 'flush' then
  dissolve(id)
elseif now >= ends(batch) or redis.call('GET', current) ~= id then
  retire(batch)
  dissolve(id)
  return describe('closed', batch, 'lasted', batch.last - batch.opened)
else
  redis.call('ZADD', due, ends(batch), ref(id))
end
return { 'decision', 'none' }
