-- Shared by the scripts of the history: the loader puts this text in place of "-- include history_common.lua".
--
-- KEYS[1]  P, the prefix of all keys, as in queue_common.lua; every other key is built from it and has the same tag.
--
-- P hist:<ep>          STREAM  packs of one endpoint (stores/history/packs.py); the id is <place of the first row>-0
-- P stats:<ep>         HASH    its statistics; b<n>: attempts in the n-th bucket of durations
-- P history:place      STRING  the highest place ever
-- P history:log:<app>  STREAM  ep of each pack of the app, with the same ids
-- P history:apps       SET     apps with packs
-- P history:rows       HASH    ep -> how many rows its packs have
-- P history:oldest     ZSET    ep -> newest ms of its oldest pack
-- P history:pay:<app>  HASH    place of a pack -> its payloads
-- P history:order:<app> ZSET   pack with payloads -> its place
-- P history:bytes      HASH    app -> bytes of its payloads
-- P history:batch:<id> STRING  the batch was written; expires
-- P history:link:<delivery> HASH  whose retry it is; expires

local P = KEYS[1]
local CHUNK = 1000

local function drop_payloads(app, place)
  local size = redis.call('HSTRLEN', P .. 'history:pay:' .. app, place)
  if size > 0 and redis.call('HINCRBY', P .. 'history:bytes', app, -size) <= 0 then
    redis.call('HDEL', P .. 'history:bytes', app)
  end
  redis.call('HDEL', P .. 'history:pay:' .. app, place)
  redis.call('ZREM', P .. 'history:order:' .. app, place)
end

local function fields_of(entry)
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  return fields, entry[1]:match('^(%d+)')
end

-- Note how old the oldest pack of an endpoint is.
local function note_oldest(ep)
  local first = redis.call('XRANGE', P .. 'hist:' .. ep, '-', '+', 'COUNT', 1)
  if #first == 0 then
    redis.call('DEL', P .. 'hist:' .. ep)
    redis.call('ZREM', P .. 'history:oldest', ep)
    redis.call('HDEL', P .. 'history:rows', ep)
  else
    redis.call('ZADD', P .. 'history:oldest', (fields_of(first[1])).newest, ep)
  end
end

-- Delete the oldest packs of an endpoint, `most` at most: while there are more rows than `bound`, or, with `old`, those
-- that ended before. Returns how many packs.
local function trim(ep, most, bound, old)
  local gone, apps = {}, {}
  local rows = tonumber(redis.call('HGET', P .. 'history:rows', ep) or 0)
  for _, entry in ipairs(redis.call('XRANGE', P .. 'hist:' .. ep, '-', '+', 'COUNT', math.min(most, CHUNK))) do
    local fields, place = fields_of(entry)
    if old and tonumber(fields.newest) >= old or not old and rows <= bound then break end
    rows = rows - fields.count
    drop_payloads(fields.app, place)
    redis.call('XDEL', P .. 'history:log:' .. fields.app, entry[1])
    apps[fields.app] = true
    gone[#gone + 1] = entry[1]
  end
  if #gone > 0 then
    redis.call('XDEL', P .. 'hist:' .. ep, unpack(gone))
    redis.call('HSET', P .. 'history:rows', ep, rows)
    note_oldest(ep)
  end
  for app in pairs(apps) do
    if redis.call('XLEN', P .. 'history:log:' .. app) == 0 then
      redis.call('DEL', P .. 'history:log:' .. app)
      redis.call('SREM', P .. 'history:apps', app)
    end
  end
  return #gone
end

-- Delete the oldest payloads of an app while it has more bytes than `most`. Returns whether it still has.
local function lighten(app, most)
  local done = 0
  while tonumber(redis.call('HGET', P .. 'history:bytes', app) or 0) > most do
    local first = redis.call('ZRANGE', P .. 'history:order:' .. app, 0, 0)
    if #first == 0 or done >= CHUNK then return #first > 0 end
    drop_payloads(app, first[1])
    done = done + 1
  end
  return false
end
