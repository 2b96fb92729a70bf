-- Makes an object stand for incidents, even those that others have reserved.
--
-- KEYS  record, incident, for each
-- ARGV  "=namespace/name" of the object, lifetime of the records in ms, number n of
--       a record's arguments, then for each incident its record as n arguments
--       field, value, ...
--
-- Leaves incidents alone that are another object's, and returns {position,
-- "=namespace/name", ...} of those. Positions count from 1.
local size = tonumber(ARGV[3])
local others = {}
for position = 1, #KEYS / 2 do
  local record, key = KEYS[2 * position - 1], KEYS[2 * position]
  local incident = redis.call('GET', key)
  if incident and incident:sub(1, 1) == '=' and incident ~= ARGV[1] then
    table.insert(others, position)
    table.insert(others, incident)
  else
    redis.call('SET', key, ARGV[1])
    write_record(record, ARGV[2], 4 + (position - 1) * size, 3 + position * size)
  end
end
return others
