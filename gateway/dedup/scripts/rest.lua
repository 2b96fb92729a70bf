-- Ends the care for the index.
--
-- KEYS  rest, turn
-- ARGV  token of the caller, time until it is due again in ms; 0 if it failed
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
end
return redis.call('DEL', KEYS[2])
