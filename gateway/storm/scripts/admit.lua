-- Takes an alert through detection and into a batch.
--
-- call     fingerprint, token of the request, name reserved for an object, size:
--          bytes that the resource adds to an object, base: bytes of an object that
--          has the signal as its first member, limit of the namespace, random number
--          from 0 to 1, finished: id of a window whose object is known to be finished
--          or "", kind of storm if that is known already or "", new: id for a batch
--          that may be begun, of which there is none yet, rank of the severity,
--          elsewhere: members that other partitions have in buffers, claim: token of
--          the claim on the incident, absent if that is not to be looked at
-- KEYS     and, if there is a claim, the incident and its lock; then rate, pattern,
--          individual
-- ARGV[3]  resource
-- ARGV[4]  signal
--
-- Returns a decision:
--   none       there is no storm: the caller makes an individual object
--   buffered   the alert is stored, its object will come
--   added      the alert is stored in a window, whose object is to hold it
--   again      an earlier request stored it in a window, whose object is to hold it
--   flush      it is stored in a buffer that has ended: the caller makes its object
--   opened     it filled the buffer, which is a window now
-- All but none come with batch, kind, opened, members, name, object, and buffered: the
-- number of the namespace's members in buffers. With opened come also overflow (the
-- limit that opened the window early: namespace, global or sampled; else empty),
-- pending, first and severest.
--   keys       nothing was done: the keys of the batches ids are needed
--   overtaken  nothing was counted or stored: the claim is lost, so somebody else may have
--              stored the alert, or may be about to
--
-- A client that does not get the reply may ask again with the same token. That changes
-- nothing but the counts by which storms are detected. The reply is the same if the
-- batch is still in the same state.
local fingerprint, token, name = call.fingerprint, call.token, call.name
local resource, data = ARGV[3], ARGV[4]
local limit, kind, threshold = call.limit, call.kind, settings.bufferThreshold

-- An earlier request got none as its reply. It may still be making its object, though
-- its claim on the incident has expired. The name is the same as long as the incident
-- is, so a caller who uses it again makes the same object.
local rate, pattern, individual = KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS]
if kind == '' and redis.call('GET', individual) == name then return { 'decision', 'none' } end

local record, id = redis.call('HGET', records, fingerprint), redis.call('GET', current)
local missing = need(call.new, call.finished, id, record and parse(record))
if missing then return missing end

-- The object of a finished window may lack some of the window's members. For those the
-- storm has ended: they start afresh.
if call.finished ~= '' then
  local over = load(call.finished)
  if over then
    drop(over, fingerprint)
    retire(over)
  end
end

local batch
-- answer returns a reply about the batch.
local function answer(decision, ...)
  return describe(decision, batch, 'buffered', waiting(namespace()), ...)
end
local function opened(overflow)
  return answer('opened', 'overflow', overflow or '', 'pending', members(batch.id, '+inf'), 'first', signal(batch.leader),
    'severest', severest(batch))
end

record = redis.call('HGET', records, fingerprint)
if record then
  local own, latest = parse(record)
  batch = load(own)
  if batch and latest == token then
    if batch.state == 'open' and batch.opener == token then return opened() end
    return answer(({ open = 'added', buffer = 'buffered', flush = 'flush' })[batch.state])
  end
end

-- A member can't become one twice, and what this very request has stored is its own.
if call.claim and not batch and not (id and redis.call('HGET', held(id), fingerprint) == token) then
  local incident, lock = redis.call('GET', KEYS[#KEYS - 4]), redis.call('GET', KEYS[#KEYS - 3])
  if lock ~= call.claim or incident and incident:sub(1, 1) == '=' then return { 'decision', 'overtaken' } end
end

if kind == '' then
  local count = redis.call('INCR', rate)
  if count == 1 then redis.call('EXPIRE', rate, 60) end
  if count > settings.rateThreshold then
    kind = 'rate'
  else
    redis.call('ZADD', pattern, now, fingerprint)
    redis.call('ZREMRANGEBYSCORE', pattern, '-inf', now - 120000)
    redis.call('EXPIRE', pattern, 120)
    if redis.call('ZCARD', pattern) > settings.patternThreshold then kind = 'pattern' end
  end
  -- A member stays a member until an object holds it, even if there is no storm now.
  -- It would get a second object otherwise.
  if kind == '' and not batch then
    redis.call('SET', individual, name, 'PX', settings.individual)
    return { 'decision', 'none' }
  end
end

-- open turns the buffer into a window. The members that were counted as buffered
-- before this call are buffered no more.
local function open(counted, overflow)
  account(-counted)
  batch.state, batch.opened, batch.opener, batch.filler, batch.name = 'open', now, token, fingerprint, name
  batch.kind = kind ~= '' and kind or batch.kind
  redis.call('HSET', metadata(batch.id), 'state', 'open', 'opened', now, 'last', now, 'opener', token,
    'filler', fingerprint, 'name', name, 'kind', batch.kind)
  redis.call('ZADD', due, now + grace, ref(batch.id))
  return opened(overflow)
end

-- weigh notes the severity of a signal, which is kept as the field of payloads.
local function weigh(field)
  if call.rank > (batch.severest and batch.rank or -1) then
    batch.rank, batch.severest = call.rank, field
    redis.call('HSET', metadata(batch.id), 'rank', batch.rank, 'severest', field)
  end
end

-- push notes one more alert of the batch, which changes the number of buffered members
-- by the difference.
local function push(difference)
  batch.last = math.max(now, batch.last)
  batch.pushes = batch.pushes + 1
  redis.call('HSET', metadata(batch.id), 'last', batch.last, 'pushes', batch.pushes, 'members', batch.members, 'bytes', batch.bytes)
  account(difference)
end

if batch then
  if batch.state == 'open' then return answer('again') end
  if batch.state == 'buffer' and now >= ends(batch) then retire(batch) end
  if batch.state == 'flush' then return answer('flush') end
  keep(fingerprint, batch.id, token, '', resource)
  -- Its first signal stays what the object is made of, but the object is to be as severe
  -- as the worst. The least severe of all has the rank 1.
  local worse = fingerprint .. '+'
  if call.rank > tonumber(string.match(redis.call('HGET', payloads, worse) or '', '^(%d)\n') or 1) then
    redis.call('HSET', payloads, worse, call.rank .. '\n' .. data)
  end
  weigh(worse)
  push(0)
  if batch.pushes >= threshold then return open(redis.call('ZCARD', pending(batch.id))) end
  redis.call('ZADD', due, ends(batch), ref(batch.id))
  return answer('buffered')
end

id = redis.call('GET', current)
batch = id and load(id)
if batch and batch.state == 'open' and now < ends(batch) then
  -- The window's object held the member before this request. The member may be no
  -- incident any more because that object is finished: such an object holds only what
  -- happened before.
  local by = redis.call('HGET', held(id), fingerprint)
  if by then return answer(by == token and 'added' or 'again') end
end
if batch and (now >= ends(batch) or batch.bytes + call.size > settings.maxBytes or batch.state == 'open' and batch.members >= limit) then
  retire(batch)
  batch = nil
end
if not batch then
  id = call.new
  batch = { id = id, state = 'buffer', kind = kind, first = now, last = now, opened = 0, pushes = 0, members = 0, bytes = call.base, leader = fingerprint }
  redis.call('HSET', metadata(id), 'state', 'buffer', 'kind', kind, 'first', now, 'leader', fingerprint)
  redis.call('SET', current, id)
end

keep(fingerprint, id, token, '', resource)
redis.call('HSET', payloads, fingerprint, data)
-- A former version of the gateway left it behind.
redis.call('HDEL', payloads, fingerprint .. '+')
redis.call('ZADD', pending(id), math.max(now, batch.last), fingerprint)
batch.members = batch.members + 1
batch.bytes = batch.bytes + call.size
weigh(fingerprint)
if batch.state == 'open' then
  push(0)
  redis.call('ZADD', due, 'LT', now + grace, ref(id))
  return answer('added')
end

-- Without room to wait for more alerts, the window is opened at once.
local overflow
local used = waiting(namespace())
if used >= limit or batch.members >= limit and batch.members < threshold then
  overflow = 'namespace'
elseif waiting('*') + call.elsewhere >= settings.globalLimit then
  overflow = 'global'
elseif used > settings.samplingThreshold * limit and call.random >= settings.samplingRate then
  overflow = 'sampled'
end
if overflow or batch.pushes + 1 >= threshold then
  push(0)
  return open(redis.call('ZCARD', pending(id)) - 1, overflow)
end
push(1)
redis.call('ZADD', due, ends(batch), ref(id))
return answer('buffered')
