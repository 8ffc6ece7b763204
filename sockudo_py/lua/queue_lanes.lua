-- Lanes: how the scripts read them, change them, list those that may be claimed from, and write them.

local CLASSES = { 'lanes:new', 'lanes:probation', 'lanes:1024', 'lanes:256', 'lanes:64', 'lanes' } -- see classes.py
local SLOWEST, FAST = 3, #CLASSES
local PACES = { 1024, 256, 64 }

local function add(key, name, number)
  if number ~= 0 and redis.call('HINCRBY', P .. key, name, number) <= 0 then redis.call('HDEL', P .. key, name) end
end

-- Lanes as this call sees them, by endpoint, and in the order in which it came to them. A lane is read at first sight,
-- together with all others that come into sight then; what has changed of it is written once, by `finish`. Only jobs,
-- leases and the listing are written at once. See `glance` for the fields of a lane.
local lanes, order = {}, {}
local rules = {} -- by text

local function rule_of(text)
  local rule = rules[text]
  if rule then return rule end
  local window, size, bytes, most, slow, ordered, second, minute, hour =
    text:match('^(%d+) (%d+) (%d+) (%d+) (%d) (%d) (%d+) (%d+) (%d+)$')
  rule = {
    window = tonumber(window), size = tonumber(size), bytes = tonumber(bytes), most = tonumber(most),
    slow = slow == '1', ordered = ordered == '1',
    limits = { { 1000, tonumber(second) }, { 60000, tonumber(minute) }, { 3600000, tonumber(hour) } },
  }
  rule.limited = rule.limits[1][2] + rule.limits[2][2] + rule.limits[3][2] > 0
  if rule.ordered then rule.most = 1 end
  rules[text] = rule
  return rule
end

-- Read rule and app of these endpoints' lanes, once. A lane has all its fields from the beginning: a table that grows is
-- made again each time.
local function glance(eps)
  local new
  for _, ep in ipairs(eps) do
    if not lanes[ep] then
      lanes[ep] = {
        ep = ep, rule = false, app = false,
        gathered = false, ready = false, -- entries in its two lists; this and the rest from `look` on
        inflight = 0, caps = false, gates = false, windows = false, -- as in these keys; false: none there
        was_inflight = false, was_caps = false, was_gates = false, was_windows = false,
        pace = -1, used = 0, since = now, paced = false, -- see P paces; whether this call has changed it
        listed = false, score = false, paused = false, -- the class that lists it; its turn, where this call knows it
        entries = 0, later = 0, -- by how much this call has changed P depth and P later
        list = false, page = false, start = 0, past_ready = 0, past_gathered = 0, -- what `peek` has read and handed out
        changed = false, turn = false, -- it needs `settle`
        fresh = false, held = 0, of = false, begins = false, -- see queue_append.lua
      }
      new = new or {}
      new[#new + 1] = ep
    end
  end
  if not new then return end
  local texts, apps = many('HMGET', 'policy', new), many('HMGET', 'app', new)
  for at, ep in ipairs(new) do
    local lane = lanes[ep]
    lane.rule, lane.app = rule_of(texts[at] or ARGV[2]), apps[at]
    order[#order + 1] = lane
  end
end

-- Read all of these endpoints' lanes, once.
local function look(eps)
  glance(eps)
  local new
  for _, ep in ipairs(eps) do
    local lane = lanes[ep]
    if not lane.ready then
      lane.gathered, lane.ready = redis.call('LLEN', P .. 'gather:' .. ep), redis.call('LLEN', P .. 'lane:' .. ep)
      new = new or {}
      new[#new + 1] = ep
    end
  end
  if not new then return end
  local inflight, caps = many('HMGET', 'inflight', new), many('HMGET', 'caps', new)
  local gates, windows = many('HMGET', 'gates', new), many('HMGET', 'windows', new)
  local listed, paces = many('HMGET', 'listed', new), many('HMGET', 'paces', new)
  local paused = many('SMISMEMBER', 'paused', new)
  for at, ep in ipairs(new) do
    local lane = lanes[ep]
    lane.was_inflight, lane.was_caps = tonumber(inflight[at]) or false, tonumber(caps[at]) or false
    lane.was_gates, lane.was_windows = tonumber(gates[at]) or false, tonumber(windows[at]) or false
    lane.inflight, lane.caps = lane.was_inflight or 0, lane.was_caps
    lane.gates, lane.windows = lane.was_gates, lane.was_windows
    lane.listed, lane.paused = listed[at], paused[at] == 1
    if paces[at] then
      local pace, used, since = paces[at]:match('^(-?%d+) (%d+) (%d+)$')
      lane.pace, lane.used, lane.since = tonumber(pace or -1), tonumber(used or 0), tonumber(since or now)
    end
  end
end

local function lane_of(ep)
  look({ ep })
  return lanes[ep]
end

-- The lane needs `settle`, and this turn (ms) if one is given.
local function change(lane, turn)
  lane.changed, lane.turn = true, turn or lane.turn
end

-- What a lane holds, delayed jobs included.
local function holds(ep)
  return tonumber(redis.call('ZSCORE', P .. 'depth', ep) or 0) + tonumber(redis.call('HGET', P .. 'later', ep) or 0)
end

local function delay(lane, job, due)
  if redis.call('ZADD', P .. 'delayed', due, job) == 1 then lane.later = lane.later + 1 end
end

local function undelay(lane, job)
  if redis.call('ZREM', P .. 'delayed', job) == 1 then lane.later = lane.later - 1 end
end

local function push_tail(lane, job)
  redis.call('RPUSH', P .. 'lane:' .. lane.ep, job)
  lane.ready, lane.entries = lane.ready + 1, lane.entries + 1
end

local function push_head(lane, job)
  redis.call('LPUSH', P .. 'lane:' .. lane.ep, job)
  lane.ready, lane.entries = lane.ready + 1, lane.entries + 1
end

-- In which class a lane is, and how much of it may be in flight.
local function class_of(lane)
  local rule, cap = lane.rule, lane.caps
  if not rule.slow then return 'lanes', rule.most end
  if not cap then return 'lanes:new', 1 end
  if cap <= 1 then return 'lanes:probation', 1 end
  local class = FAST
  for at = #PACES, 1, -1 do
    if lane.pace <= PACES[at] then break end
    class = SLOWEST + at - 1
  end
  return CLASSES[class], math.min(cap, rule.most)
end

-- From when on (ms) something of a lane may be claimed, and in which class it is; nil while nothing may.
local function opens(lane)
  local class, room = class_of(lane)
  if lane.gathered + lane.ready == 0 or lane.inflight >= room or lane.paused then return nil end
  local from = lane.gates or 0
  if lane.ready == 0 and lane.gathered < lane.rule.size then from = math.max(from, lane.windows or 0) end
  return from, class
end

local function unlist(lane)
  if not lane.listed then return end
  redis.call('ZREM', P .. lane.listed, lane.ep)
  redis.call('HDEL', P .. 'listed', lane.ep)
  lane.listed = false
end

-- Put a lane into the listing where it belongs now, or into none. A lane that was due already keeps its turn, unless it
-- is given another one.
local function settle(lane)
  local turn = lane.turn
  lane.changed, lane.turn, lane.score = false, false, false
  local from, class = opens(lane)
  if not from then return unlist(lane) end
  if lane.listed == class and not turn and from <= now then
    local due = tonumber(redis.call('ZSCORE', P .. class, lane.ep))
    if due and due < now + 1 then
      lane.score = due
      return
    end
  end
  if lane.listed ~= class then
    if lane.listed then redis.call('ZREM', P .. lane.listed, lane.ep) end
    redis.call('HSET', P .. 'listed', lane.ep, class)
    lane.listed = class
  end
  lane.score = math.max(from, turn or exact)
  redis.call('ZADD', P .. class, lane.score, lane.ep)
end

local function settle_changed()
  for _, lane in ipairs(order) do
    if lane.changed then settle(lane) end
  end
end

-- The field of P held that counts this token; nil when none does.
local function holder_of(token)
  if token:byte(-2) ~= 58 then return nil end -- no ":" before its last letter
  local worker, class = token:match('^(.*):%d+:%d+:(%d)$')
  return worker and worker .. ':' .. class
end

local LONGEST = 4096 -- ms: see classes.py

-- Bring the slot time of a lane up to date, before what it has in flight changes. `ended`: 'tried', a worker that 'died',
-- or nil. Gives the lane the turn before all others when an attempt was much faster than usual: see Lane.measure in
-- lanes.py.
local function account(lane, ended)
  local pace, used = lane.pace, lane.used + lane.inflight * math.max(0, now - lane.since)
  if ended == 'tried' then
    if pace >= 0 and 2 * used < pace then lane.turn = 0 end
    used = math.min(used, LONGEST)
    pace = pace < 0 and used or math.floor((7 * pace + used) / 8)
  end
  if ended then used = 0 end
  lane.pace, lane.used, lane.since, lane.paced = pace, used, now, true
end

-- Take away what `peek` has handed out.
local function drop_taken(list, lane, number)
  if number == 1 then
    redis.call('LPOP', P .. list .. lane.ep)
  elseif number > 1 then
    redis.call('LTRIM', P .. list .. lane.ep, number, -1)
  end
end

local PAGE = 200 -- entries of a lane that are read at once, or more where one job takes more

-- Returns the next job of a lane, of at most the given number of entries, and how many it has; nil when the lane is empty.
local function peek(lane, most)
  local whole_jobs = lane.ready > 0
  local list, past = whole_jobs and 'lane:' or 'gather:', whole_jobs and lane.past_ready or lane.past_gathered
  local size = whole_jobs and 1 or lane.rule.size
  if lane.list ~= list or #lane.page - (past - lane.start) < math.min(size, whole_jobs and lane.ready or lane.gathered) then
    lane.list, lane.start = list, past
    lane.page = redis.call('LRANGE', P .. list .. lane.ep, past, past + math.max(size, math.min(most * size, PAGE)) - 1)
  end
  local texts, first = lane.page, past - lane.start + 1
  local job = texts[first]
  if not job or whole_jobs then return job, 1 end
  if job:byte(1) == 33 then return job:sub(2), 1 end
  if size == 1 then return job, 1 end
  local parts, bytes = { job:sub(1, -3) }, 0
  for at = first, math.min(#texts, first + size - 1) do
    local text = texts[at]
    local _, start = text:find(',"events":[', 1, true)
    bytes = bytes + #text - start - 2 + (at > first and 1 or 0)
    if at > first then
      if text:byte(1) == 33 or bytes > lane.rule.bytes then break end
      parts[#parts + 1] = text:sub(start + 1, -3)
    end
  end
  return table.concat(parts, ',') .. ']}', #parts
end

-- What peek returned is to go, once it has been put elsewhere. From then on nothing may be pushed to the lane's head.
local function drop_peeked(lane, number)
  lane.entries = lane.entries - number
  if lane.ready > 0 then
    lane.past_ready, lane.ready = lane.past_ready + number, lane.ready - number
  else
    lane.past_gathered, lane.gathered = lane.past_gathered + number, lane.gathered - number
    if lane.gathered == 0 then lane.windows = false end
  end
end

local ended, safe = {}, {} -- tokens whose lease is over; ids of jobs that have not taken a worker down
local released -- by how much P held has changed, by field

-- Forget the lease of a token; the job must be in its new place already. `how` as in account.
local function unlease(token, lane, how)
  ended[#ended + 1] = token
  local holder = holder_of(token)
  if holder then
    released = released or {}
    released[holder] = (released[holder] or 0) - 1
  end
  account(lane, how)
  lane.inflight = math.max(0, lane.inflight - 1)
  lane.changed = true
end

-- Write what `unlease` has gathered, and forget the crashes of what is `safe`.
local function forget_ended()
  if #ended == 0 then return end
  many('HDEL', 'active', ended)
  many('ZREM', 'leases', ended)
  many('HDEL', 'crashes', safe)
  if released then
    for holder, number in pairs(released) do add('held', holder, number) end
  end
  ended, safe, released = {}, {}, nil
end

-- Write one number of each lane where it has changed.
local function write(key, was)
  local set, gone
  for _, lane in ipairs(order) do
    local value = lane[key]
    if value == 0 then value = false end
    if value ~= lane[was] then
      if value then
        set = set or {}
        set[#set + 1], set[#set + 2] = lane.ep, whole(value)
      else
        gone = gone or {}
        gone[#gone + 1] = lane.ep
      end
    end
  end
  if set then many('HSET', key, set) end
  if gone then many('HDEL', key, gone) end
end

-- Write what has changed of the lanes, and forget them.
local function finish()
  forget_ended()
  for _, lane in ipairs(order) do
    drop_taken('lane:', lane, lane.past_ready)
    drop_taken('gather:', lane, lane.past_gathered)
  end
  settle_changed()
  write('inflight', 'was_inflight')
  write('caps', 'was_caps')
  write('gates', 'was_gates')
  write('windows', 'was_windows')
  local waiting, paces, apps = 0
  for _, lane in ipairs(order) do
    if lane.paced then
      paces = paces or {}
      paces[#paces + 1] = lane.ep
      paces[#paces + 1] = string.format('%.0f %.0f %.0f', lane.pace, lane.used, lane.since)
    end
    if lane.entries ~= 0 then
      waiting = waiting + lane.entries
      if tonumber(redis.call('ZINCRBY', P .. 'depth', lane.entries, lane.ep)) <= 0 then
        redis.call('ZREM', P .. 'depth', lane.ep)
      end
    end
    if lane.later ~= 0 then add('later', lane.ep, lane.later) end
    if lane.app and lane.entries + lane.later ~= 0 then
      apps = apps or {}
      apps[lane.app] = (apps[lane.app] or 0) + lane.entries + lane.later
    end
  end
  if paces then many('HSET', 'paces', paces) end
  if waiting ~= 0 then redis.call('INCRBY', P .. 'waiting', waiting) end
  if apps then
    for app, number in pairs(apps) do add('apps', app, number) end
  end
  lanes, order = {}, {}
end

-- Cut (half) or raise (by one) what a lane may have in flight.
local function judge(lane, good)
  if not lane.rule.slow then return end
  local cap = lane.caps or 1
  if good then cap = math.min(cap + 1, math.max(2, lane.rule.most)) else cap = math.max(1, math.floor(cap / 2)) end
  lane.caps = cap
end
