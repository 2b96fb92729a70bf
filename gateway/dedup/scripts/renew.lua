-- Prolongs a lock.
--
-- KEYS  incident, lock
-- ARGV  token of the caller, time that the lock holds in ms, "again" to take a lock that
--       has expired and is nobody's, else ""
--
-- Returns 0  if somebody else holds the lock, or nobody and it is not to be taken,
--         1  if the caller does,
--         2  if it does, and an object is known to stand for the incident by now.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] or not holder and ARGV[3] ~= 'again' then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return (redis.call('GET', KEYS[1]) or ''):find('^=.+/.+$') and 2 or 1
