-- Gives a reservation back. The name stays: see begin.lua.
--
-- KEYS  lock
-- ARGV  token of the caller
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
