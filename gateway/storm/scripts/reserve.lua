-- Fixes the name of a flushed member's object. All who may make the object use that
-- name, so that it is made once.
--
-- call  id of the batch, fingerprint, name that is proposed, fence of the turn (absent
--       if a request asks for its own alert)
--
-- Returns a decision:
--   fixed   and name: the proposed one, or the one that was fixed before
--   gone    the member is not in the batch any more, or another turn has begun
--
-- It begins the caller's turn anew.
local id, fingerprint = call.id, call.fingerprint
local record = redis.call('HGET', records, fingerprint)
if not record then return { 'decision', 'gone' } end
local where, token, name, resource = parse(record)
if where ~= id then return { 'decision', 'gone' } end
if call.fence then
  if tonumber(redis.call('HGET', metadata(id), 'fence') or '') ~= call.fence then return { 'decision', 'gone' } end
  redis.call('ZADD', due, now + settings.turn, ref(id))
end
if name == '' then
  name = call.name
  keep(fingerprint, id, token, name, resource)
end
return { 'decision', 'fixed', 'name', name }
