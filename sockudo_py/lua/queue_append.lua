#!lua
-- Add fresh events to their lanes, as far as there is room. Not allow-oom: this is the one call that a full Redis refuses.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  ms for which an id that was appended is known
-- ARGV[4]  how many jobs and events there may be, dead ones apart (0: any number)
-- ARGV[5]  the server whose ledger is written
-- ARGV[6]  how many entries it gets; or "once": none, and the events are added under a key, all of them or none
-- ARGV[7..10]  only then: the app, the digest of the key, its value, how many keys an app has at most
-- ARGV[7..]  for each entry: id of the occupancy, its text as in P present, "there", "over" or "new" (over, and not
--            written yet), the numbers of the events that tell of its end
-- after it   for each event: id, endpoint, app, job text ("!" before it: goes alone)
-- Returns {added, known already, ms until the first lane opens or -1, number of an event refused, of another, ...}; or the
-- value of a key that is known.
-- include queue_common.lua
-- include queue_lanes.lua

local DAY = 24 * 3600 * 1000
local slice = math.ceil(tonumber(ARGV[3]) / 4)
local slot = math.floor(now / slice)
local once = ARGV[6] == 'once' and { values = 'keys:' .. ARGV[7], times = 'keytimes:' .. ARGV[7] }
local entries = once and 0 or tonumber(ARGV[6])
local first = once and 11 or 7 + 4 * entries
if once then
  local time = redis.call('ZSCORE', P .. once.times, ARGV[8])
  if time and tonumber(time) + DAY > now then
    redis.call('PEXPIRE', P .. once.times, DAY) -- a write, so that a WAIT for replicas means this key
    return redis.call('HGET', P .. once.values, ARGV[8])
  end
end
-- Keep the key, and let go of some that are over and of the oldest when there are too many.
local function keep_key()
  local over = redis.call('ZRANGE', P .. once.times, '-inf', whole(now - DAY), 'BYSCORE', 'LIMIT', 0, 100)
  if redis.call('ZCARD', P .. once.times) >= tonumber(ARGV[10]) then
    over = redis.call('ZRANGE', P .. once.times, 0, 99)
  end
  if #over > 0 then
    redis.call('ZREM', P .. once.times, unpack(over))
    redis.call('HDEL', P .. once.values, unpack(over))
  end
  redis.call('HSET', P .. once.values, ARGV[8], ARGV[9])
  redis.call('ZADD', P .. once.times, whole(now), ARGV[8])
  redis.call('PEXPIRE', P .. once.values, 2 * DAY)
  redis.call('PEXPIRE', P .. once.times, DAY)
end
local known, ids = {}, {}
for at = first, #ARGV, 4 do ids[#ids + 1] = ARGV[at] end
for back = 0, #ids > 0 and 4 or -1 do
  local key = P .. 'enq:' .. whole(slot - back)
  if redis.call('EXISTS', key) == 1 then
    for number, member in ipairs(redis.call('SMISMEMBER', key, unpack(ids))) do
      if member == 1 then
        known[ids[number]] = true
        redis.call('PEXPIRE', key, slice * 5) -- a write, so that a WAIT for replicas means this append
      end
    end
  end
end

local most = tonumber(ARGV[4])
local total = tonumber(redis.call('GET', P .. 'waiting') or 0) + redis.call('ZCARD', P .. 'delayed')
  + redis.call('HLEN', P .. 'active') + redis.call('LLEN', P .. 'default')

-- See queues/local/headroom.py. A queue that is less than half full refuses nobody: who holds what need not be asked.
local ample = most <= 0 or 2 * (total + #ids) < most
local function takes(lane)
  local free = most - total
  return ample or (free > 0 and lane.held * math.max(lane.held, lane.of.held) * total * total < free ^ 4)
end

local apps = {}

-- What an app holds; 0 while nobody needs to know.
local function app_of(app)
  apps[app] = apps[app] or { held = ample and 0 or tonumber(redis.call('HGET', P .. 'apps', app) or 0) }
  return apps[app]
end

-- Prepare a lane, which is of this app, for events.
local function enter(lane, app)
  lane.fresh = {}
  lane.held = (ample and lane.app == app) and 0 or holds(lane.ep)
  if lane.app ~= app then
    if lane.app then
      add('apps', lane.app, -lane.held)
      if apps[lane.app] then apps[lane.app].held = apps[lane.app].held - lane.held end
    end
    redis.call('HSET', P .. 'app', lane.ep, app)
    add('apps', app, lane.held)
    if apps[app] then apps[app].held = apps[app].held + lane.held end
  end
  lane.app, lane.of = app, app_of(app)
end

local eps, met = {}, {}
for at = first + 1, #ARGV, 4 do
  if not met[ARGV[at]] then
    met[ARGV[at]] = true
    eps[#eps + 1] = ARGV[at]
  end
end
glance(eps)
local fresh, duplicates, answer, refused = {}, 0, { 0, 0, -1 }, {}
for at = first, #ARGV, 4 do
  local id, ep = ARGV[at], ARGV[at + 1]
  if known[id] then
    duplicates = duplicates + 1
  else
    known[id] = true
    local lane = lanes[ep]
    if not lane.fresh then enter(lane, ARGV[at + 2]) end
    if takes(lane) then
      lane.held, lane.of.held, total = lane.held + 1, lane.of.held + 1, total + 1
      fresh[#fresh + 1] = id
      lane.fresh[#lane.fresh + 1] = ARGV[at + 3]
    else
      local number = (at - first) / 4
      answer[#answer + 1] = number
      refused[number] = ep
    end
  end
end
answer[2] = duplicates
if once then
  if next(refused) then return answer end
  keep_key()
end

-- See queues/ledger.py.
local there, gone = {}, {}
local some_refused = next(refused) ~= nil
for at = 7, first - 1, 4 do
  local text, state = ARGV[at + 1], ARGV[at + 2]
  if some_refused and state ~= 'there' then
    for number in ARGV[at + 3]:gmatch('%d+') do
      local ep = refused[tonumber(number)]
      if ep then text = text .. '\n' .. ep end
    end
  end
  if state == 'there' or text:find('\n', 1, true) then
    there[#there + 1], there[#there + 2] = ARGV[at], text
  elseif state == 'over' then
    gone[#gone + 1] = ARGV[at]
  end
end
if #there > 0 then redis.call('HSET', P .. 'present:' .. ARGV[5], unpack(there)) end
local function strike_out()
  if #gone > 0 then redis.call('HDEL', P .. 'present:' .. ARGV[5], unpack(gone)) end
end
if #fresh == 0 then
  strike_out()
  return answer
end

local opening = {} -- lanes that may be claimed from earlier than before
for _, lane in ipairs(order) do
  local jobs = lane.fresh
  if jobs and #jobs > 0 then
    local length = redis.call('RPUSH', P .. 'gather:' .. lane.ep, unpack(jobs))
    lane.entries = #jobs
    lane.begins = length == #jobs
    if lane.begins or (length >= lane.rule.size and length - #jobs < lane.rule.size) then
      opening[#opening + 1] = lane.ep
    end
  end
end
local key = P .. 'enq:' .. whole(slot)
redis.call('SADD', key, unpack(fresh))
redis.call('PEXPIRE', key, slice * 5)

look(opening)
local soonest = -1
for _, ep in ipairs(opening) do
  local lane = lanes[ep]
  if lane.begins then lane.windows = now + lane.rule.window end
  settle(lane)
  if lane.score and (soonest < 0 or lane.score - now < soonest) then soonest = math.max(0, lane.score - now) end
end
finish()
strike_out()
answer[1], answer[3] = #fresh, soonest
return answer
