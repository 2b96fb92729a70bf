-- Removes members that an object holds. If that is a window's object, notes its name.
--
-- call  id of the batch, object: the window's as namespace/name, or "",
--       fingerprints (absent if there are none)
--
-- Returns a decision:
--   settled   the members are not in the batch any more
--   gone      there is no such batch
local id, object = call.id, call.object
local batch = load(id)
if not batch then return { 'decision', 'gone' } end
local window = object ~= '' and batch.state == 'open'
for _, fingerprint in ipairs(call.fingerprints or {}) do
  local token = drop(batch, fingerprint)
  if token and window then redis.call('HSET', held(id), fingerprint, token) end
end
if window then redis.call('HSET', metadata(id), 'object', object) end

if redis.call('EXISTS', pending(id)) == 0 then
  if batch.state == 'flush' then
    dissolve(id)
  elseif batch.state == 'open' then
    redis.call('ZADD', due, ends(batch), ref(id))
  end
end
return { 'decision', 'settled' }
