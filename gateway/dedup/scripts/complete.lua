-- Marks the index as complete, if the data are still those in which it was built.
--
-- KEYS  marker, turn
-- ARGV  token of the caller, identity of the data
--
-- Returns 1 if it did, else 0.
if ARGV[2] == '' or redis.call('GET', KEYS[2]) ~= ARGV[1] or data_identity() ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
