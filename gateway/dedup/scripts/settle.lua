-- Ends a reservation with an object: the incident is that object's from now on.
--
-- KEYS  record, incident, lock
-- ARGV  token of the caller, "=namespace/name" of the object, lifetime of the
--       record in ms, then the record as field, value, ...
--
-- Changes nothing if the reservation was lost and the incident is another object's by
-- now. It then returns that object's "=namespace/name", else "".
local mine = redis.call('GET', KEYS[3]) == ARGV[1]
local incident = redis.call('GET', KEYS[2])
if not mine and incident and incident:sub(1, 1) == '=' and incident ~= ARGV[2] then
  return incident
end
redis.call('SET', KEYS[2], ARGV[2])
write_record(KEYS[1], ARGV[3], 4, #ARGV)
if mine then
  redis.call('DEL', KEYS[3])
end
return ''
