-- Tells a window: all members that its object is to hold, and the signals that the
-- object is made of.
--
-- ARGV  (1 to 5: see batch.lua), 6 id of the batch
--
-- Returns the batch as describe tells it, or nothing if there is none.
local batch = load(ARGV[6])
if not batch then return {} end
return describe('window', batch, members(batch.id, '+inf'),
  redis.call('HGET', payloads, batch.leader or '') or '', redis.call('HGET', payloads, batch.filler or '') or '')
