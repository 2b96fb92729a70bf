-- Prolongs a lock, or takes it again if it has expired and is nobody's.
--
-- KEYS  incident, lock
-- ARGV  token of the lock's holder, time that the lock holds in ms, another token that
--       may have it instead, or ""
--
-- Returns 0  if somebody else holds the lock, or if it had expired: others may have held it
--            since, though it is the holder's again,
--         1  if it was the holder's,
--         2  if it was, and an object is known to stand for the incident by now.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] and holder ~= ARGV[3] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if holder ~= ARGV[1] then
  return 0
end
return (redis.call('GET', KEYS[1]) or ''):find('^=.+/.+$') and 2 or 1
