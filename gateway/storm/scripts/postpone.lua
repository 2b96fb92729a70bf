-- Gives a batch back that could not be finished: it is due again after a while that
-- doubles with each failure.
--
-- ARGV  (1 to 5: see batch.lua)
--       6 id of the batch, 7 fence of the holder, 8 first wait in ms, 9 longest in ms
--
-- Returns the wait in ms, or -1 if the batch has another holder by now.
local id = ARGV[6]
if redis.call('HGET', metadata(id), 'fence') ~= ARGV[7] then return -1 end
local failures = redis.call('HINCRBY', metadata(id), 'failures', 1)
local wait = math.min(tonumber(ARGV[8]) * 2 ^ math.min(failures - 1, 20), tonumber(ARGV[9]))
redis.call('ZADD', due, now + wait, ref(id))
return wait
