-- Counts an occurrence in the record only, for when the object can't be reached.
--
-- KEYS  record
-- ARGV  lastSeen, lifetime of the record in ms
--
-- Returns the record as {field, value, ...}, empty if there is none.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('HSET', KEYS[1], 'lastSeen', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
