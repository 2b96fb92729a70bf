-- Removes a reservation that led to nothing and that nobody holds.
--
-- KEYS  incident, lock
-- ARGV  value of the incident
if redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('EXISTS', KEYS[2]) == 0 then
  return redis.call('DEL', KEYS[1])
end
return 0
