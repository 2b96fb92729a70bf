-- Writes records. Prefixed to the scripts that do so.

-- Writes ARGV[first] to ARGV[last], a list of fields and values, as the whole
-- record. Replicas may write out of order, so the count of one object never falls.
local function write_record(key, ttl, first, last)
  local field = {}
  for i = first, last, 2 do
    field[ARGV[i]] = ARGV[i + 1]
  end
  local old = redis.call('HMGET', key, 'remediationRequestRef', 'count')
  if old[1] == field.remediationRequestRef and (tonumber(old[2]) or 0) > tonumber(field.count) then
    field.count = old[2]
  end
  redis.call('DEL', key)
  for name, value in pairs(field) do
    redis.call('HSET', key, name, value)
  end
  redis.call('PEXPIRE', key, ttl)
end
