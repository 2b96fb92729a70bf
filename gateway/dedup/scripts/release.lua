-- Gives a lock back.
--
-- KEYS  incident, lock
-- ARGV  token of the caller; "discard" to give up the reservation, too, else ""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
if ARGV[2] == 'discard' and (redis.call('GET', KEYS[1]) or ''):sub(1, 1) == '?' then
  redis.call('DEL', KEYS[1])
end
return 1
