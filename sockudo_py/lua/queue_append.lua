#!lua
-- Add fresh events to their lanes, as far as there is room. Not allow-oom: this is the one call that a full Redis refuses.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  ms for which an id that was appended is known
-- ARGV[4]  how many jobs and events there may be, dead ones apart (0: any number)
-- ARGV[5]  the server whose ledger is written
-- ARGV[6]  how many entries it gets
-- ARGV[7..]  for each entry: id of the occupancy, its text as in P present, "there", "over" or "new" (over, and not
--            written yet), the numbers of the events that tell of its end
-- after it   for each event: id, endpoint, app, job text ("!" before it: goes alone)
-- Returns {added, known already, ms until the first lane opens or -1, number of an event refused, of another, ...}.
-- include queue_common.lua

local slice = math.ceil(tonumber(ARGV[3]) / 4)
local slot = math.floor(now / slice)
local entries = tonumber(ARGV[6])
local first = 7 + 4 * entries
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

-- See queues/local.headheadroom.py. A queue that is less than half full refuses nobody: who holds what need not be asked.
local ample = most <= 0 or 2 * (total + #ids) < most
local function takes(lane)
  local free = most - total
  return ample or (free > 0 and lane.held * math.max(lane.held, lane.app.held) * total * total < free ^ 4)
end

local lanes, apps, order = {}, {}, {}
local function look(ep, app)
  local before = redis.call('HGET', P .. 'app', ep)
  local lane = { held = (ample and before == app) and 0 or holds(ep), jobs = {} }
  if before ~= app then
    hold(ep, -lane.held)
    redis.call('HSET', P .. 'app', ep, app)
    hold(ep, lane.held)
    if apps[before] then apps[before].held = apps[before].held - lane.held end
    if apps[app] then apps[app].held = apps[app].held + lane.held end
  end
  apps[app] = apps[app] or { held = ample and 0 or tonumber(redis.call('HGET', P .. 'apps', app) or 0) }
  lane.app = apps[app]
  lanes[ep] = lane
  order[#order + 1] = ep
  return lane
end

local fresh, duplicates, answer, refused = {}, 0, { 0, 0, -1 }, {}
for at = first, #ARGV, 4 do
  local id, ep = ARGV[at], ARGV[at + 1]
  if known[id] then
    duplicates = duplicates + 1
  else
    known[id] = true
    local lane = lanes[ep] or look(ep, ARGV[at + 2])
    if takes(lane) then
      lane.held, lane.app.held, total = lane.held + 1, lane.app.held + 1, total + 1
      fresh[#fresh + 1] = id
      table.insert(lane.jobs, ARGV[at + 3])
    else
      local number = (at - first) / 4
      answer[#answer + 1] = number
      refused[number] = ep
    end
  end
end
answer[2] = duplicates

-- See queues/ledger.py.
local there, gone = {}, {}
for at = 7, first - 1, 4 do
  local text, state = ARGV[at + 1], ARGV[at + 2]
  if state ~= 'there' then
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

local opens = -1
for _, ep in ipairs(order) do
  local jobs = lanes[ep].jobs
  if #jobs > 0 then
    local rule = policy(ep)
    local length = redis.call('RPUSH', P .. 'gather:' .. ep, unpack(jobs))
    count(ep, #jobs)
    local first = length == #jobs
    if first then redis.call('HSET', P .. 'windows', ep, whole(now + rule.window)) end
    if first or (length >= rule.size and length - #jobs < rule.size) then
      local score = settle(ep)
      if score and (opens < 0 or score - now < opens) then opens = math.max(0, score - now) end
    end
  end
end
local key = P .. 'enq:' .. whole(slot)
redis.call('SADD', key, unpack(fresh))
redis.call('PEXPIRE', key, slice * 5)
strike_out()
answer[1], answer[3] = #fresh, opens
return answer
