-- Counts an occurrence in the record only, for when the object can't be reached.
--
-- KEYS  record
-- ARGV  lastSeen, lifetime of the record in ms, "remediationRequestRef" or
--       "namespace", and the value that this field must have: incidents with the
--       same fingerprint share the record's key
--
-- Returns the record as {field, value, ...}, empty if there is none like that.
if redis.call('HGET', KEYS[1], ARGV[3]) ~= ARGV[4] then
  return {}
end
redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('HSET', KEYS[1], 'lastSeen', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
