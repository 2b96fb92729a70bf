-- Fixes the name of a flushed member's object. Whoever makes the object uses that
-- name, so that it is made once.
--
-- ARGV  (1 to 5: see batch.lua)
--       6 id of the batch, 7 fingerprint, 8 proposed name,
--       9 fence of the turn or "" for a request's own alert, 10 length of a turn in ms
--
-- Returns the name: the proposed one unless another was fixed before; or "" if the
-- member is not in the batch any more or the batch has another holder.
local id, fingerprint = ARGV[6], ARGV[7]
local record = redis.call('HGET', records, fingerprint)
if not record then return '' end
local where, token, name, resource = parse(record)
if where ~= id then return '' end
if ARGV[9] ~= '' then
  if redis.call('HGET', metadata(id), 'fence') ~= ARGV[9] then return '' end
  redis.call('ZADD', due, now + tonumber(ARGV[10]), ref(id))
end
if name ~= '' then return name end
redis.call('HSET', records, fingerprint, id .. '\n' .. token .. '\n' .. ARGV[8] .. '\n' .. resource)
return ARGV[8]
