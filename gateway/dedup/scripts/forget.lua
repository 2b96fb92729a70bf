-- Removes a record that points to an object which is finished or gone, unless it
-- points to another one by now.
--
-- KEYS  record
-- ARGV  remediationRequestRef of that object
if redis.call('HGET', KEYS[1], 'remediationRequestRef') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
