-- The part that all storm scripts share. It is put in front of each of them.
--
-- A scope is one alert name in one namespace. Its alerts are members of batches. A
-- batch begins as a buffer. A buffer that fills in time becomes a window (open): its
-- members share an object. A buffer that does not is flushed (flush): each member
-- gets an object of its own. A scope has at most one current batch, which takes new
-- members. It may have any number of former ones that are not finished.
--
-- All keys are declared, and are of one partition, so the scripts run on a Redis
-- Cluster as well. While a hash slot moves, such a server refuses a script whose keys
-- are not all there yet. A key that was not declared would seem to be missing instead.
-- The keys of a batch can be declared only by a caller who knows its id. A script that
-- needs those of another batch changes nothing and says so, see need.
--
-- KEYS     1 due, 2 buffered, 3 aggregate, 4 resources, 5 payloads, then three for each
--          batch of call.ids: metadata, buffer, held; then those that each script names
-- ARGV[1]  the settings, a JSON object:
--            inactivity, longest, grace   timeouts in ms
--            turn                         length of a flusher's turn in ms
--            individual                   ms for which a name is kept that was used
--                                         for an object of a single alert
--            rateThreshold, patternThreshold, bufferThreshold, globalLimit
--                                         numbers of alerts
--            samplingThreshold, samplingRate
--                                         from 0 to 1
--            maxBytes                     most bytes of an object
-- ARGV[2]  the call, a JSON object: the scope, ids (of the batches whose keys are
--          declared), now (time in ms; if absent, the server's), and what each script
--          names
-- ARGV[3]  and further ones are texts that senders choose: they need not be UTF-8,
--          which JSON can't hold
--
-- Every script returns a list of names, each followed by its value. The first name is
-- decision; the script says which other names go with which decision.
--
-- alert:storm:aggregate:<scope>      id of the current batch
-- alert:storm:resources:<scope>      hash of the members of all batches that no
--                                    object holds yet: fingerprint -> record. A
--                                    record has four lines: id of the batch, token of
--                                    the latest request, name reserved for an object
--                                    of its own or "", resource
-- alert:storm:payloads:<scope>       hash: fingerprint -> the signal, complete; and
--                                    fingerprint, + -> rank of the severity, line feed,
--                                    and a repeat that is the most severe of those
--                                    which came while it was buffered
-- alert:storm:metadata:<scope>:<id>  hash: the batch. Its severest is the field in
--                                    payloads of its most severe signal
-- alert:buffer:<scope>:<id>          sorted set: the batch's members that no object
--                                    holds yet, by time of arrival
-- alert:storm:held:<scope>:<id>      hash of the members that the window's object
--                                    holds: fingerprint -> token of the request
-- alert:storm:buffered               hash: namespace -> number of its members in
--                                    buffers and in flushes; * -> that of all
--                                    namespaces
-- alert:storm:due                    sorted set: <scope>:<id> of every batch, by the
--                                    time when a flusher is to look at it
--
-- None of these expires. A member is removed once an object holds it, and a batch's
-- keys are removed with the batch. A member is in one batch at a time.
--
-- In a Redis Cluster, keys have a hash tag before the scope, and the last two, of which
-- there is one in each partition, at their end. The scopes of one namespace are in one
-- partition.
local settings, call = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
local scope, now = call.scope, call.now
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local inactivity, longest, grace = settings.inactivity, settings.longest, settings.grace

local due, buffered, current, records, payloads = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
-- place has the position of the keys of each batch that is declared.
local place = {}
for i, id in ipairs(call.ids or {}) do place[id] = 3 * i + 2 end
local function metadata(id) return KEYS[place[id] + 1] end
local function pending(id) return KEYS[place[id] + 2] end
local function held(id) return KEYS[place[id] + 3] end
local function ref(id) return scope .. ':' .. id end
local function namespace() return string.match(scope, '^[^:]*') end

-- need returns a reply for when the keys of some batches are not declared, else nil:
-- decision keys, and ids: all batches whose keys are needed.
local function need(...)
  local ids, complete = {}, true
  for i = 1, select('#', ...) do
    local id = select(i, ...)
    if id and id ~= '' then
      ids[#ids + 1] = id
      complete = complete and place[id]
    end
  end
  if not complete then return { 'decision', 'keys', 'ids', ids } end
end

-- load returns a batch, or nil if there is none with the id.
local function load(id)
  local fields = redis.call('HGETALL', metadata(id))
  if #fields == 0 then return nil end
  local batch = { id = id }
  for i = 1, #fields, 2 do batch[fields[i]] = fields[i + 1] end
  for _, name in ipairs({ 'first', 'last', 'opened', 'pushes', 'members', 'bytes', 'rank' }) do
    batch[name] = tonumber(batch[name]) or 0
  end
  return batch
end

-- parse returns the four lines of a record.
local function parse(record)
  return string.match(record, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
end

-- ends returns the time in ms at which a batch ends: a buffer can't be filled any
-- more, a window takes no more members. Both end after a silence of the inactivity
-- timeout. A buffer also ends when it is as old as the longest window. A window may
-- be exactly that old, so it ends one ms later.
local function ends(batch)
  if batch.state == 'open' then
    return math.min(batch.last + inactivity, batch.opened + longest + 1)
  end
  return math.min(batch.last + inactivity, batch.first + longest)
end

-- waiting returns how many members a namespace, or * for all of this partition, has in
-- buffers and in flushes.
local function waiting(whose) return tonumber(redis.call('HGET', buffered, whose) or '0') end

-- account adds to the number of waiting members of the scope's namespace.
local function account(difference)
  if difference == 0 then return end
  for _, whose in ipairs({ namespace(), '*' }) do
    if redis.call('HINCRBY', buffered, whose, difference) <= 0 then
      redis.call('HDEL', buffered, whose)
    end
  end
end

-- retire makes a batch a former one. A flusher is to flush a former buffer now. It is
-- to look at a window now if the window's object holds all members, else when that
-- was due before.
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

-- dissolve removes a batch that has no members left.
local function dissolve(id)
  redis.call('DEL', metadata(id), pending(id), held(id))
  redis.call('ZREM', due, ref(id))
end

-- keep writes a member's record.
local function keep(fingerprint, id, token, name, resource)
  redis.call('HSET', records, fingerprint, id .. '\n' .. token .. '\n' .. name .. '\n' .. resource)
end

-- drop takes a member out of the batch. It returns the token of the member's latest
-- request, or nil if the member was not in the batch.
local function drop(batch, fingerprint)
  local record = redis.call('HGET', records, fingerprint)
  if not record then return nil end
  local id, token = parse(record)
  if id ~= batch.id then return nil end
  redis.call('HDEL', records, fingerprint)
  redis.call('HDEL', payloads, fingerprint, fingerprint .. '+')
  redis.call('ZREM', pending(batch.id), fingerprint)
  if batch.state ~= 'open' then account(-1) end
  return token
end

-- members returns the members that arrived until a time, the earliest first. Each is
-- a list of names and values: fingerprint, arrived (ms), name (reserved for an object
-- of its own, or empty), resource.
local function members(id, latest)
  local list = redis.call('ZRANGEBYSCORE', pending(id), '-inf', latest, 'WITHSCORES')
  local result = {}
  for i = 1, #list, 2 do
    local _, _, name, resource = parse(redis.call('HGET', records, list[i]) or '')
    result[#result + 1] = { 'fingerprint', list[i], 'arrived', tonumber(list[i + 1]), 'name', name or '', 'resource', resource or '' }
  end
  return result
end

-- signal returns the signal of a member, or an empty text if it is not kept.
local function signal(fingerprint)
  return fingerprint and redis.call('HGET', payloads, fingerprint) or ''
end

-- severest returns the most severe signal of a batch, or an empty text if it is not kept.
local function severest(batch)
  local kept = signal(batch.severest)
  return string.match(kept, '^%d\n(.*)$') or kept
end

-- contents returns what a window's object is made of, for describe: the members, and
-- the signals of the first member, of the one that filled the buffer, and the most
-- severe one.
local function contents(batch, list)
  return 'pending', list, 'first', signal(batch.leader), 'filler', signal(batch.filler), 'severest', severest(batch)
end

-- describe returns a reply about a batch: the decision, the batch, and the names and
-- values that follow. No value may be nil or false, which would end the reply early.
local function describe(decision, batch, ...)
  return { 'decision', decision, 'batch', ref(batch.id), 'kind', batch.kind, 'opened', batch.opened,
    'members', batch.members, 'name', batch.name or '', 'object', batch.object or '', ... }
end
