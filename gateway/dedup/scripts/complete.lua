-- Declares the index complete, if the data are still those that it was built in.
--
-- KEYS  marker, lease
-- ARGV  token of the caller, identity of the data
--
-- Returns whether it did, as 1 or 0.
if redis.call('GET', KEYS[2]) ~= ARGV[1] or data_identity() ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
