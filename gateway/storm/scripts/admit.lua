-- Takes an alert through detection and into a batch.
--
-- ARGV  (1 to 5: see batch.lua)
--       6 fingerprint, 7 token of the request, 8 name reserved for an object,
--       9 resource, 10 the signal, 11 bytes that the resource adds to an object,
--       12 bytes of an object that has the signal as its first member,
--       13 rate threshold, 14 pattern threshold, 15 buffer threshold,
--       16 limit of the namespace, 17 global limit, 18 sampling threshold,
--       19 sampling rate, 20 random number from 0 to 1, 21 most bytes of an object,
--       22 id of a window whose object is known to be finished, or "",
--       23 kind of storm if that is known already, or "",
--       24 ms for which a name is known to have been used for an individual object
--
-- Returns {"none"} if there is no storm: the caller makes an individual object. Else
-- a batch as describe tells it, led by
--   buffered  the alert is stored, its object will come;
--   opened    it filled the batch; told are all members, and the first one's signal;
--   added     it is stored in a window, whose object is to hold it;
--   again     so it was before, by an earlier request;
--   flush     it is stored in a buffer whose time is up: the caller makes its object.
--
-- Calling again with the same token changes nothing (but the counts by which storms
-- are detected) and returns the same, in so far as the batch is still in that state:
-- a client that does not get the answer may ask again.
local fingerprint, token, name, resource, data = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local size, base = tonumber(ARGV[11]), tonumber(ARGV[12])
local threshold, limit, overall = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local sampling, share, random = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[20])
local most, finished, kind = tonumber(ARGV[21]), ARGV[22], ARGV[23]

-- A request which was told "none" may still be making its object, though its claim
-- on the incident has run out. The name is the same as long as the incident is, and
-- whoever uses it again makes the same object.
local individual = 'alert:storm:individual:' .. fingerprint
if kind == '' and redis.call('GET', individual) == name then return { 'none' } end

-- The storm ended for the members of a finished window that its object lacks: they
-- start afresh.
if finished ~= '' then
  local over = load(finished)
  if over then
    drop(over, fingerprint)
    retire(over)
  end
end

local batch
local record = redis.call('HGET', records, fingerprint)
if record then
  local id, latest = parse(record)
  batch = load(id)
  if batch and latest == token then
    if batch.state == 'open' and batch.opener == token then
      return describe('opened', batch, members(id, '+inf'), redis.call('HGET', payloads, batch.leader) or '')
    end
    return describe(({ open = 'added', buffer = 'buffered', flush = 'flush' })[batch.state], batch)
  end
end

if kind == '' then
  local rate = 'alert:storm:rate:' .. scope
  local count = redis.call('INCR', rate)
  if count == 1 then redis.call('EXPIRE', rate, 60) end
  if count > tonumber(ARGV[13]) then
    kind = 'rate'
  else
    local pattern = 'alert:pattern:' .. scope
    redis.call('ZADD', pattern, now, fingerprint)
    redis.call('ZREMRANGEBYSCORE', pattern, '-inf', now - 120000)
    redis.call('EXPIRE', pattern, 120)
    if redis.call('ZCARD', pattern) > tonumber(ARGV[14]) then kind = 'pattern' end
  end
  -- A member stays one until an object holds it, whether or not there is a storm now:
  -- anything else would make a second object of it.
  if kind == '' and not batch then
    redis.call('SET', individual, name, 'PX', ARGV[24])
    return { 'none' }
  end
end

-- open makes a window of the buffer, of whose members those before were buffered.
local function open(before, reason)
  account(-before)
  batch.state, batch.opened, batch.opener, batch.filler, batch.name = 'open', now, token, fingerprint, name
  batch.kind = kind ~= '' and kind or batch.kind
  redis.call('HSET', metadata(batch.id), 'state', 'open', 'opened', now, 'last', now, 'opener', token,
    'filler', fingerprint, 'name', name, 'kind', batch.kind)
  redis.call('ZADD', due, now + grace, ref(batch.id))
  return describe('opened', batch, members(batch.id, '+inf'), redis.call('HGET', payloads, batch.leader), '', reason)
end

local function push(difference)
  batch.last = math.max(now, batch.last)
  batch.pushes = batch.pushes + 1
  redis.call('HSET', metadata(batch.id), 'last', batch.last, 'pushes', batch.pushes, 'members', batch.members, 'bytes', batch.bytes)
  account(difference)
end

if batch then
  if batch.state == 'open' then return describe('again', batch) end
  if batch.state == 'buffer' and now >= ends(batch) then retire(batch) end
  if batch.state == 'flush' then return describe('flush', batch) end
  redis.call('HSET', records, fingerprint, batch.id .. '\n' .. token .. '\n\n' .. resource)
  push(0)
  if batch.pushes >= threshold then return open(redis.call('ZCARD', pending(batch.id))) end
  redis.call('ZADD', due, ends(batch), ref(batch.id))
  return describe('buffered', batch)
end

local id = redis.call('GET', current)
batch = id and load(id)
if batch and batch.state == 'open' and now < ends(batch) then
  -- Its object held it before this request, and that may be why it is no incident any
  -- more: such an object is finished, and holds what it holds of the past.
  local by = redis.call('HGET', held(id), fingerprint)
  if by then return describe(by == token and 'added' or 'again', batch) end
end
if batch and (now >= ends(batch) or batch.bytes + size > most or batch.state == 'open' and batch.members >= limit) then
  retire(batch)
  batch = nil
end
if not batch then
  id = now .. '-' .. redis.call('INCR', 'alert:storm:sequence')
  batch = { id = id, state = 'buffer', kind = kind, first = now, last = now, opened = 0, pushes = 0, members = 0, bytes = base, leader = fingerprint }
  redis.call('HSET', metadata(id), 'state', 'buffer', 'kind', kind, 'first', now, 'leader', fingerprint)
  redis.call('SET', current, id)
end

redis.call('HSET', records, fingerprint, id .. '\n' .. token .. '\n\n' .. resource)
redis.call('HSET', payloads, fingerprint, data)
redis.call('ZADD', pending(id), math.max(now, batch.last), fingerprint)
batch.members = batch.members + 1
batch.bytes = batch.bytes + size
if batch.state == 'open' then
  push(0)
  redis.call('ZADD', due, 'LT', now + grace, ref(id))
  return describe('added', batch)
end

-- The buffer is filled at once when there is no room to wait for more.
local full
local place = string.match(scope, '^[^:]*')
local used = tonumber(redis.call('HGET', buffered, place) or '0')
if used >= limit or batch.members >= limit and batch.members < threshold then
  full = 'namespace'
elseif tonumber(redis.call('HGET', buffered, '*') or '0') >= overall then
  full = 'global'
elseif used > sampling * limit and random >= share then
  full = 'sampled'
end
if full or batch.pushes + 1 >= threshold then
  push(0)
  return open(redis.call('ZCARD', pending(id)) - 1, full)
end
push(1)
redis.call('ZADD', due, ends(batch), ref(id))
return describe('buffered', batch)
