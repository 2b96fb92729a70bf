-- Removes members which an object holds, and tells a window of its object.
--
-- ARGV  (1 to 5: see batch.lua)
--       6 id of the batch, 7 the window's object as namespace/name, or "",
--       then fingerprints
--
-- Returns how many members of the batch no object holds.
local id, object = ARGV[6], ARGV[7]
local batch = load(id)
if not batch then return 0 end
for i = 8, #ARGV do
  local token = drop(batch, ARGV[i])
  if token and object ~= '' and batch.state == 'open' then redis.call('HSET', held(id), ARGV[i], token) end
end
if object ~= '' and batch.state == 'open' then redis.call('HSET', metadata(id), 'object', object) end

local left = redis.call('ZCARD', pending(id))
if left == 0 and batch.state == 'flush' then
  dissolve(id)
elseif left == 0 and batch.state == 'open' then
  redis.call('ZADD', due, ends(batch), ref(id))
end
return left
