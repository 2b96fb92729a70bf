-- Starts the handling of a signal: returns the object of its incident, or else
-- reserves the incident for the caller.
--
-- KEYS  incident, lock, marker
-- ARGV  token of the caller, proposed object name, time that the lock holds in ms
--
-- Returns {"object", namespace/name}    if an object is known to stand for it,
--         {"new", object name}          if the caller holds the lock now and there
--                                       is no object,
--         {"unsure", object name}       if it does and there may be one, since
--                                       the index is not complete,
--         {"left", object name}         if it does and an earlier holder of the lock
--                                       may have made one, or may yet,
--         {"held"}                      if somebody else holds the lock.
--
-- A reservation outlives the lock: a holder that died may have a create under way.
-- The next holder must look for its object, and must use the same name, so that there
-- is no second one. Calling again with the same token changes nothing.
local incident = redis.call('GET', KEYS[1])
local object = incident and incident:match('^=(.+/.+)$')
if object then
  return { 'object', object }
end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return { 'held' }
end
if incident then
  return { 'left', incident:match('^%?%d+:(.+)$') or ARGV[2] }
end
local identity = data_identity()
local complete = identity ~= '' and redis.call('GET', KEYS[3]) == identity
redis.call('SET', KEYS[1], '?' .. milliseconds() .. ':' .. ARGV[2])
return { complete and 'new' or 'unsure', ARGV[2] }
