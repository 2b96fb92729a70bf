-- Starts the handling of a signal: tells its incident's record, or else reserves
-- the incident for the caller.
--
-- KEYS  record, lock, name
-- ARGV  namespace of the signal, token of the caller, proposed object name,
--       lease of the lock in ms, lifetime of the name in ms
--
-- Returns {"record", {field, value, ...}}  if there is a usable record,
--         {"reserved", object name}        if the caller now holds the lock,
--         {"held"}                         if somebody else does.
--
-- The name outlives the lock: a holder that died may still have a create under
-- way, and whoever comes next must collide with it rather than make a second
-- object. Calling again with the same token changes nothing.
local record = redis.call('HGETALL', KEYS[1])
local field = {}
for i = 1, #record, 2 do
  field[record[i]] = record[i + 1]
end
if field.namespace == ARGV[1] and field.remediationRequestRef and field.remediationRequestRef ~= '' then
  return { 'record', record }
end

if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[4]) or redis.call('GET', KEYS[2]) == ARGV[2] then
  redis.call('SET', KEYS[3], ARGV[3], 'NX')
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
  return { 'reserved', redis.call('GET', KEYS[3]) }
end
return { 'held' }
