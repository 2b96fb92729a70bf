-- Adds objects in progress, as found in the cluster, to the index, and prolongs the
-- turn.
--
-- KEYS  turn, then incident and lock for each
-- ARGV  token of the caller, length of the turn in ms, then for each incident
--       "=namespace/name" of its object
--
-- Returns nil if the turn is lost, else {position, "=namespace/name", ...} of the
-- incidents that are another object's already. Positions count from 1.
--
-- A reservation that nobody holds becomes the object found. One that is held is left
-- to its holder, who looks in the cluster as well.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local others = {}
for position = 1, #ARGV - 2 do
  local key, lock = KEYS[2 * position], KEYS[2 * position + 1]
  local object = ARGV[position + 2]
  local incident = redis.call('GET', key)
  if not incident or incident:sub(1, 1) == '?' and redis.call('EXISTS', lock) == 0 then
    redis.call('SET', key, object)
  elseif incident:sub(1, 1) == '=' and incident ~= object then
    table.insert(others, position)
    table.insert(others, incident)
  end
end
return others
