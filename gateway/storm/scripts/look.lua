-- Reads a window: all members that its object is to hold, and the signals that the
-- object is made of.
--
-- call  id of the batch
--
-- Returns a decision:
--   gone    there is no such batch
--   found   and batch, kind, opened, members, name, object, pending, first, filler,
--           severest
local batch = load(call.id)
if not batch then return { 'decision', 'gone' } end
return describe('found', batch, contents(batch, members(batch.id, '+inf')))
