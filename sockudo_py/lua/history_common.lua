-- Shared by the scripts of the history: the loader puts this text in place of "-- include history_common.lua".
--
-- KEYS[1]  P, the prefix of all keys, as in queue_common.lua; every other key is built from it and has the same tag.
--
-- P hist:<ep>          STREAM  rows of one endpoint; the id is <place>-0
-- P stats:<ep>         HASH    its statistics; b<n>: attempts in the n-th bucket of durations
-- P history:place      STRING  the highest place ever
-- P history:log:<app>  STREAM  ep of each row of the app, with the same ids
-- P history:apps       SET     apps with rows
-- P history:oldest     ZSET    ep -> finished ms of its oldest row
-- P history:of         HASH    delivery -> lines: ep, app, the place of each of its rows
-- P history:pay:<app>  HASH    delivery -> payload
-- P history:order:<app> ZSET   delivery with payload -> place of its newest row
-- P history:bytes      HASH    app -> bytes of its payloads
-- P history:batch:<id> STRING  the batch was written; expires
-- P history:link:<delivery> HASH  whose retry it is; expires

local P = KEYS[1]
local CHUNK = 1000

local function drop_payload(app, delivery)
  local size = redis.call('HSTRLEN', P .. 'history:pay:' .. app, delivery)
  if size > 0 then redis.call('HINCRBY', P .. 'history:bytes', app, -size) end
  redis.call('HDEL', P .. 'history:pay:' .. app, delivery)
  redis.call('ZREM', P .. 'history:order:' .. app, delivery)
end

-- A row is gone: forget it where its delivery and its app name it.
local function unlist(app, delivery, place)
  redis.call('XDEL', P .. 'history:log:' .. app, place .. '-0')
  if redis.call('XLEN', P .. 'history:log:' .. app) == 0 then
    redis.call('DEL', P .. 'history:log:' .. app)
    redis.call('SREM', P .. 'history:apps', app)
  end
  local of = redis.call('HGET', P .. 'history:of', delivery)
  if not of then return end
  local ep, owner, places = of:match('^(.-)\n(.-)\n(.*)$')
  local left = {}
  for each in (places or ''):gmatch('[^\n]+') do
    if each ~= place then left[#left + 1] = each end
  end
  if #left > 0 then
    redis.call('HSET', P .. 'history:of', delivery, ep .. '\n' .. owner .. '\n' .. table.concat(left, '\n'))
  else
    redis.call('HDEL', P .. 'history:of', delivery)
    drop_payload(app, delivery)
  end
end

local function fields_of(entry)
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  return fields, entry[1]:match('^(%d+)')
end

-- Note how old the oldest row of an endpoint is.
local function note_oldest(ep)
  local first = redis.call('XRANGE', P .. 'hist:' .. ep, '-', '+', 'COUNT', 1)
  if #first == 0 then
    redis.call('DEL', P .. 'hist:' .. ep)
    redis.call('ZREM', P .. 'history:oldest', ep)
  else
    redis.call('ZADD', P .. 'history:oldest', (fields_of(first[1])).finished, ep)
  end
end

-- Delete the oldest rows of an endpoint, `most` at most, and with `old` only those that ended before. Returns how many.
local function trim(ep, most, old)
  local gone = {}
  for _, entry in ipairs(redis.call('XRANGE', P .. 'hist:' .. ep, '-', '+', 'COUNT', math.min(most, CHUNK))) do
    local fields, place = fields_of(entry)
    if old and tonumber(fields.finished) >= old then break end
    unlist(fields.app, fields.delivery, place)
    gone[#gone + 1] = entry[1]
  end
  if #gone > 0 then
    redis.call('XDEL', P .. 'hist:' .. ep, unpack(gone))
    note_oldest(ep)
  end
  return #gone
end

-- Delete the oldest payloads of an app while it has more bytes than `most`. Returns whether it still has.
local function lighten(app, most)
  local done = 0
  while tonumber(redis.call('HGET', P .. 'history:bytes', app) or 0) > most do
    local first = redis.call('ZRANGE', P .. 'history:order:' .. app, 0, 0)
    if #first == 0 or done >= CHUNK then return #first > 0 end
    drop_payload(app, first[1])
    done = done + 1
  end
  return false
end
