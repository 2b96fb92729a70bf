-- Takes the batch that is due first, for a turn. No other flusher gets the batch
-- before the turn is over.
--
-- call  nothing
--
-- Returns a decision:
--   none     there is no batch
--   idle     no batch is due, and wait: ms until the next one is
--   closed   a window has ended and was removed, and batch, kind, opened, members,
--            name, object, lasted: ms from its opening to its last alert
--   flush    each pending member is to get an object of its own, and batch, kind,
--            opened, members, name, object, fence, pending
--   window   the window's object is to hold the pending members, and as for flush,
--            first, filler
--
-- The fence grows with each turn on the batch. Scripts that get it refuse to work for
-- a turn that another has followed. Members that a window took in the last moments
-- (grace) are left to their requests.
for _ = 1, 100 do
  local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if not next[1] then return { 'decision', 'none' } end
  if tonumber(next[2]) > now then return { 'decision', 'idle', 'wait', tonumber(next[2]) - now } end
  local place, id = string.match(next[1], '^(.*):([^:]*)$')
  enter(place)
  local batch = load(id)
  if not batch then
    redis.call('ZREM', due, next[1])
  else
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
      redis.call('ZADD', due, now + settings.turn, next[1])
      local fence = redis.call('HINCRBY', metadata(id), 'fence', 1)
      if batch.state == 'flush' then return describe('flush', batch, 'fence', fence, 'pending', list) end
      return describe('window', batch, 'fence', fence, contents(batch, list))
    end
    local oldest = redis.call('ZRANGE', pending(id), 0, 0, 'WITHSCORES')
    if oldest[2] then
      redis.call('ZADD', due, tonumber(oldest[2]) + grace, next[1])
    elseif batch.state == 'flush' then
      dissolve(id)
    elseif now >= ends(batch) or redis.call('GET', current) ~= id then
      retire(batch)
      dissolve(id)
      return describe('closed', batch, 'lasted', batch.last - batch.opened)
    else
      redis.call('ZADD', due, ends(batch), next[1])
    end
  end
end
-- There may be more.
return { 'decision', 'idle', 'wait', 0 }
