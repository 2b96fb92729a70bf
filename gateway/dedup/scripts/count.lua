-- Writes the record of an incident after an occurrence was counted on its object.
-- Does nothing if the incident is not that object's any more.
--
-- KEYS  record, incident
-- ARGV  "=namespace/name" of the object, lifetime of the record in ms, then the
--       record as field, value, ...
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
write_record(KEYS[1], ARGV[2], 3, #ARGV)
return 1
