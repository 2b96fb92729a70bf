-- Takes the batch that is due first and keeps others from it for a while.
--
-- ARGV  (1 to 5: see batch.lua; no scope), 6 length of a turn in ms
--
-- Returns {"idle", ms until the next batch is due, or -1 if there is none}, or a
-- batch as describe tells it, with members that are to be taken care of, led by
--   flush   each is to get an object of its own;
--   window  the window's object is to hold them;
--   closed  there are none, and the window has ended: it was removed.
--
-- The batch's fence, which grows with each holder, is for those scripts that only
-- the present holder may run. A window's members of the last moments are left to
-- the requests that brought them.
for _ = 1, 100 do
  local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if not next[1] then return { 'idle', -1 } end
  if tonumber(next[2]) > now then return { 'idle', tonumber(next[2]) - now } end
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
      redis.call('ZADD', due, now + tonumber(ARGV[6]), next[1])
      batch.fence = redis.call('HINCRBY', metadata(id), 'fence', 1)
      if batch.state == 'flush' then return describe('flush', batch, list) end
      return describe('window', batch, list, redis.call('HGET', payloads, batch.leader) or '', redis.call('HGET', payloads, batch.filler) or '')
    end
    local oldest = redis.call('ZRANGE', pending(id), 0, 0, 'WITHSCORES')
    if oldest[2] then
      redis.call('ZADD', due, tonumber(oldest[2]) + grace, next[1])
    elseif batch.state == 'flush' then
      dissolve(id)
    elseif now >= ends(batch) or redis.call('GET', current) ~= id then
      retire(batch)
      dissolve(id)
      return describe('closed', batch, { batch.last })
    else
      redis.call('ZADD', due, ends(batch), next[1])
    end
  end
end
return { 'idle', 0 }
