-- Gives a batch back that could not be finished. It is due again after a wait, which
-- doubles with each failure.
--
-- call  id of the batch, fence of the turn, first and most: shortest and longest
--       wait in ms
--
-- Returns a decision:
--   postponed   the batch is due again
--   overtaken   nothing was done, since another turn has begun
local id = call.id
if tonumber(redis.call('HGET', metadata(id), 'fence') or '') ~= call.fence then return { 'decision', 'overtaken' } end
local failures = redis.call('HINCRBY', metadata(id), 'failures', 1)
local wait = math.min(call.first * 2 ^ math.min(failures - 1, 20), call.most)
redis.call('ZADD', due, now + wait, ref(id))
return { 'decision', 'postponed' }
