-- What all storm scripts share; it is put in front of each of them. Keys are made
-- here, out of the scope, so the scripts are for one Redis server with its
-- replicas, not for a Redis Cluster.
--
-- A scope is one alert name in one namespace. Its alerts are members of batches. A
-- batch begins as a buffer; it ends as one when it is not filled in time and each
-- member is to get an object of its own (flush), or it is filled and is a window
-- (open), whose members share an object. A scope has at most one current batch,
-- which takes new members, and any number of former ones that are not finished.
--
-- ARGV  1 scope, 2 time in ms or "" for the server's,
--       3 inactivity timeout, 4 longest window, 5 grace: all in ms
--
-- alert:storm:aggregate:<scope>      id of the current batch
-- alert:storm:resources:<scope>      hash: fingerprint of each member of any batch
--                                    that no object holds yet -> its record: id of
--                                    the batch, token of the latest request, name
--                                    reserved for an object of its own or "",
--                                    resource; a line each
-- alert:storm:payloads:<scope>       hash: fingerprint -> the signal, complete
-- alert:storm:metadata:<scope>:<id>  hash: the batch
-- alert:buffer:<scope>:<id>          sorted set: the batch's members that no object
--                                    holds yet, by time of arrival
-- alert:storm:held:<scope>:<id>      hash: fingerprint of each member that the
--                                    window's object holds -> token of its request
-- alert:storm:buffered               hash: namespace -> its members in buffers and
--                                    in flushes; * -> those of all namespaces
-- alert:storm:due                    sorted set: <scope>:<id> of every batch, by the
--                                    time when it is to be looked at
-- alert:storm:sequence               numbers the batches
--
-- None of these expires: what an object holds is removed, and what is known of a
-- batch ends with it. A member is in one batch at a time.
local scope = ARGV[1]
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local inactivity, longest, grace = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local due, buffered = 'alert:storm:due', 'alert:storm:buffered'
local current, records, payloads
local function enter(name)
  scope = name
  current = 'alert:storm:aggregate:' .. scope
  records = 'alert:storm:resources:' .. scope
  payloads = 'alert:storm:payloads:' .. scope
end
enter(scope)
local function metadata(id) return 'alert:storm:metadata:' .. scope .. ':' .. id end
local function pending(id) return 'alert:buffer:' .. scope .. ':' .. id end
local function held(id) return 'alert:storm:held:' .. scope .. ':' .. id end
local function ref(id) return scope .. ':' .. id end

-- load returns a batch, or nil.
local function load(id)
  local fields = redis.call('HGETALL', metadata(id))
  if #fields == 0 then return nil end
  local batch = { id = id }
  for i = 1, #fields, 2 do batch[fields[i]] = fields[i + 1] end
  for _, name in ipairs({ 'first', 'last', 'opened', 'pushes', 'members', 'bytes' }) do
    batch[name] = tonumber(batch[name]) or 0
  end
  return batch
end

local function parse(record)
  return string.match(record, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
end

-- ends returns when a batch has no time left: a buffer to be filled, a window to
-- take members. Longer than the longest is allowed, as long is not.
local function ends(batch)
  if batch.state == 'open' then
    return math.min(batch.last + inactivity, batch.opened + longest + 1)
  end
  return math.min(batch.last + inactivity, batch.first + longest)
end

-- account changes the number of buffered members of the scope's namespace.
local function account(difference)
  if difference == 0 then return end
  local place = string.match(scope, '^[^:]*')
  for _, field in ipairs({ place, '*' }) do
    if redis.call('HINCRBY', buffered, field, difference) <= 0 then
      redis.call('HDEL', buffered, field)
    end
  end
end

-- retire makes a batch a former one. A buffer is to be flushed now, a window to be
-- looked at in time.
local function retire(batch)
  if redis.call('GET', current) == batch.id then redis.call('DEL', current) end
  if batch.state == 'buffer' then
    batch.state = 'flush'
    redis.call('HSET', metadata(batch.id), 'state', 'flush')
    redis.call('ZADD', due, 'LT', now, ref(batch.id))
  elseif redis.call('EXISTS', pending(batch.id)) == 0 then
    redis.call('ZADD', due, 'LT', now, ref(batch.id))
  end
end

-- dissolve ends a batch that has no members left.
local function dissolve(id)
  redis.call('DEL', metadata(id), pending(id), held(id))
  redis.call('ZREM', due, ref(id))
end

-- drop takes a member out of the batch. It returns the token of the member's latest
-- request, or nil if it was not in the batch.
local function drop(batch, fingerprint)
  local record = redis.call('HGET', records, fingerprint)
  if not record then return nil end
  local id, token = parse(record)
  if id ~= batch.id then return nil end
  redis.call('HDEL', records, fingerprint)
  redis.call('HDEL', payloads, fingerprint)
  redis.call('ZREM', pending(batch.id), fingerprint)
  if batch.state ~= 'open' then account(-1) end
  return token
end

-- members returns {fingerprint, time of arrival, record, ...} of those members that
-- arrived until a time, the earliest first.
local function members(id, latest)
  local list = redis.call('ZRANGEBYSCORE', pending(id), '-inf', latest, 'WITHSCORES')
  local result = {}
  for i = 1, #list, 2 do
    result[#result + 1] = list[i]
    result[#result + 1] = list[i + 1]
    result[#result + 1] = redis.call('HGET', records, list[i]) or ''
  end
  return result
end

-- describe returns a batch for the caller, led by a word.
local function describe(word, batch, list, first, filler, reason)
  return { word, ref(batch.id), batch.state, batch.kind, batch.opened, batch.members,
    batch.name or '', batch.object or '', batch.fence or '0',
    tonumber(redis.call('HGET', buffered, string.match(scope, '^[^:]*')) or '0'),
    reason or '', list or {}, first or '', filler or '' }
end
