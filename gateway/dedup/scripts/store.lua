-- Writes the record of an incident in full and ends the caller's reservation, if
-- it has one.
--
-- KEYS  record, lock, name
-- ARGV  token of the caller or "", lifetime of the record in ms,
--       then the record as field, value, ...
--
-- Replicas may write out of order, so the count of one object never falls.
local field = {}
for i = 3, #ARGV, 2 do
  field[ARGV[i]] = ARGV[i + 1]
end
local old = redis.call('HMGET', KEYS[1], 'remediationRequestRef', 'count')
if old[1] == field.remediationRequestRef and (tonumber(old[2]) or 0) > tonumber(field.count) then
  field.count = old[2]
end
redis.call('DEL', KEYS[1])
for name, value in pairs(field) do
  redis.call('HSET', KEYS[1], name, value)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])

if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2], KEYS[3])
end
return 1
