-- Looks which batch is due first.
--
-- KEYS     due, buffered
-- ARGV[1]  time in ms, or "" for the server's
--
-- Returns a decision:
--   none   there is no batch
--   idle   no batch is due, and wait: ms until the next one is
--   due    and batch
-- All come with waiting: the number of members in buffers and in flushes.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local waiting = tonumber(redis.call('HGET', KEYS[2], '*') or '0')
local next = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not next[1] then return { 'decision', 'none', 'waiting', waiting } end
local wait = tonumber(next[2]) - now
if wait > 0 then return { 'decision', 'idle', 'wait', wait, 'waiting', waiting } end
return { 'decision', 'due', 'batch', next[1], 'waiting', waiting }
