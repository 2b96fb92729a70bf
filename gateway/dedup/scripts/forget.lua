-- Takes an incident from an object that is finished, gone or does not stand for it.
-- Does nothing if it is another object's by now.
--
-- KEYS  record, incident
-- ARGV  namespace/name of that object; that of the next one, or ""
if redis.call('GET', KEYS[2]) ~= '=' .. ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], '=' .. ARGV[2])
end
if redis.call('HGET', KEYS[1], 'remediationRequestRef') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
