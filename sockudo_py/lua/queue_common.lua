-- Shared by the queue scripts: the loader puts this text in place of their line "-- include queue_common.lua".
--
-- KEYS[1]  P, the prefix of all keys. It is passed as a key so that a cluster sends the call to the slot of its
--          hash tag; every other key is built from it and has the same tag.
-- ARGV[1]  ms added to the server's clock (0; tests move time with it)
-- ARGV[2]  the policy of a lane that has none, packed as in P policy
--
-- P default       LIST    jobs to be routed, consumed from the right
-- P failed        LIST    dead jobs, newest left
-- P delayed       ZSET    job -> due ms
-- P gather:<ep>   LIST    fresh single-event jobs of one endpoint, oldest left; "!" before those that go alone
-- P lane:<ep>     LIST    whole jobs of one endpoint, next one left
-- P lanes:new, P lanes:probation, P lanes:1024, P lanes:256, P lanes:64, P lanes
--                 ZSET    ep -> ms from which it can be claimed: lanes with something to claim and room in flight,
--                         in exactly one of these classes (those that take longer than so many ms; the fast ones)
-- P listed        HASH    ep -> in which of these
-- P depth         ZSET    ep -> entries in its two lists
-- P waiting       STRING  sum of P depth
-- P later         HASH    ep -> its jobs in P delayed
-- P app           HASH    ep -> the app that it is of
-- P apps          HASH    app -> entries of its lanes, those in P delayed included
-- P gates         HASH    ep -> ms before which nothing of it is claimed (rate limit, ordered retry)
-- P windows       HASH    ep -> ms at which its gathering window ends
-- P paused        SET     ep
-- P policy        HASH    ep -> "window_ms size max_bytes max_in_flight slow_start ordered per_s per_min per_h"
-- P caps          HASH    ep -> allowance in flight (slow start); none: never tried
-- P inflight      HASH    ep -> leased jobs
-- P paces         HASH    ep -> "pace used since": slot time of an attempt lately (-1: unknown), slot time since the last
--                         attempt ended, when that was brought up to date; ms
-- P held          HASH    worker:class -> its leased jobs of that class; the fast ones are not counted
-- P active        HASH    token -> job; a token is worker:sequence:number, and :class where that is not the fast one
-- P leases        ZSET    token -> deadline ms
-- P crashes       HASH    job id -> lease expiries in a row
-- P rl:<ep>       ZSET    token -> claim ms, of the longest rate limit window
-- P enq:<n>       SET     ids of the events appended in the n-th slice of time; expires
-- P epoch         STRING  made by the first claim, and anew after a FLUSHALL: whoever sees another one sends its policies
-- P present:<server> HASH  the ledger of a server: id of an occupancy -> [app, channel, user or null, socket or null] as
--                         JSON, and for each endpoint that has yet to hear of its end a line break and its uid
-- P servers       ZSET    server -> ms until which it counts as alive
-- P runs          HASH    server -> which run of it has beaten last
-- P claim:<worker> STRING "sequence token token ..." of the worker's last claim; expires
-- P clock         STRING  "noted skew": the time of the last claim or beat that noted it, a second ago at most while there
--                         is something to do; and by how many ms this is ahead of the server's time, which was set back
--
-- All times are of the queue's clock, which never goes back: waits, gates, windows, rate limits and leases end in time
-- when the server's clock is set right after it was ahead, or another server takes over whose clock is behind. Only what
-- leaves the queue, in the text of a job, is of the server's time.
--
-- Lua is atomic, not transactional: whatever moves a job adds it before it removes it.

local P = KEYS[1]
local clock = redis.call('TIME')
local wall = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local noted, skew = (redis.call('GET', P .. 'clock') or '0 0'):match('^(%d+) (%d+)$')
noted, skew = tonumber(noted or 0), tonumber(skew or 0)
local now = math.max(wall + skew, noted) -- stands still when the server's clock was set back, until the next claim
local exact = now + clock[2] % 1000 / 1000 -- for turns: many calls fall into one ms
local CLASSES = { 'lanes:new', 'lanes:probation', 'lanes:1024', 'lanes:256', 'lanes:64', 'lanes' } -- see classes.py
local SLOWEST, FAST = 3, #CLASSES
local PACES = { 1024, 256, 64 }
local MANY = 1000 -- words of one command; Lua hands over 8,000 at most

-- What an operator may read or another program parses gets whole numbers, never 1.8e+12.
local function whole(number)
  return string.format('%.0f', number)
end

-- Call `command` on a key with these words, some at a time. Returns the answers that are lists, joined.
local function many(command, key, words)
  if #words <= MANY then return #words > 0 and redis.call(command, P .. key, unpack(words)) or {} end
  local all = {}
  for at = 1, #words, MANY do
    local some = redis.call(command, P .. key, unpack(words, at, math.min(#words, at + MANY - 1)))
    if type(some) == 'table' then
      for _, each in ipairs(some) do all[#all + 1] = each end
    end
  end
  return all
end

local function add(key, name, number)
  if number ~= 0 and redis.call('HINCRBY', P .. key, name, number) <= 0 then redis.call('HDEL', P .. key, name) end
end

-- Id and endpoint of a job, nil for a text that has none. The pattern is 100 times faster than parsing the events.
local function header(job)
  local id, ep = job:match('^{"v":1,"id":"([^"\\%c]+)","ep":"([^"\\%c]+)","kind":"webhook",')
  if ep then return id, ep end
  local ok, fields = pcall(cjson.decode, job)
  if ok and type(fields) == 'table' and type(fields.id) == 'string' and type(fields.ep) == 'string'
    and fields.id ~= '' and fields.ep ~= '' then
    return fields.id, fields.ep
  end
  return nil
end

-- Lanes as this call sees them, by endpoint, and in the order in which it came to them. A lane is read at first sight,
-- together with all others that come into sight then; what has changed of it is written once, by `finish`. Only jobs,
-- leases and the listing are written at once. A lane has
--   ep, rule, app                    from `glance` on
--   gathered, ready                  entries in its two lists; this and the rest from `look` on
--   inflight, caps, gates, windows   as in the keys of these names; caps is nil when it was never tried
--   pace, used, since                see P paces
--   listed, score                    the class that lists it; its turn, where this call knows it
--   paused
--   entries, later                   by how much this call has changed P depth and P later
--   jobs, taken                      what `peek` has read, and how many entries of which list are to go
--   changed, turn                    it needs `settle`
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

-- Read rule and app of these endpoints' lanes, once.
local function glance(eps)
  local new = {}
  for _, ep in ipairs(eps) do
    if not lanes[ep] then
      lanes[ep] = { ep = ep, entries = 0, later = 0, jobs = {}, taken = {} }
      new[#new + 1] = ep
    end
  end
  local texts, apps = many('HMGET', 'policy', new), many('HMGET', 'app', new)
  for at, ep in ipairs(new) do
    local lane = lanes[ep]
    lane.rule, lane.app = rule_of(texts[at] or ARGV[2]), apps[at] or nil
    order[#order + 1] = lane
  end
end

local WRITTEN = { 'inflight', 'caps', 'gates', 'windows' }

-- Read all of these endpoints' lanes, once.
local function look(eps)
  glance(eps)
  local new = {}
  for _, ep in ipairs(eps) do
    local lane = lanes[ep]
    if not lane.was then
      lane.was = {}
      lane.gathered, lane.ready = redis.call('LLEN', P .. 'gather:' .. ep), redis.call('LLEN', P .. 'lane:' .. ep)
      new[#new + 1] = ep
    end
  end
  if #new == 0 then return end
  for _, key in ipairs(WRITTEN) do
    local values = many('HMGET', key, new)
    for at, ep in ipairs(new) do
      local value = tonumber(values[at])
      lanes[ep][key], lanes[ep].was[key] = value, value
    end
  end
  local listed, paces, paused = many('HMGET', 'listed', new), many('HMGET', 'paces', new), many('SMISMEMBER', 'paused', new)
  for at, ep in ipairs(new) do
    local lane = lanes[ep]
    local pace, used, since = (paces[at] or ''):match('^(-?%d+) (%d+) (%d+)$')
    lane.pace, lane.used, lane.since = tonumber(pace or -1), tonumber(used or 0), tonumber(since or now)
    lane.inflight, lane.listed, lane.paused = lane.inflight or 0, listed[at] or nil, paused[at] == 1
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
  lane.listed = nil
end

-- Put a lane into the listing where it belongs now, or into none. A lane that was due already keeps its turn, unless it
-- is given another one.
local function settle(lane)
  local turn = lane.turn
  lane.changed, lane.turn, lane.score = false, nil, nil
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

local ended = { tokens = {}, crashes = {}, held = {} }

-- Forget the lease of a token; the job must be in its new place already. `how` as in account.
local function unlease(token, lane, how)
  ended.tokens[#ended.tokens + 1] = token
  local holder = holder_of(token)
  if holder then ended.held[holder] = (ended.held[holder] or 0) - 1 end
  account(lane, how)
  lane.inflight = math.max(0, lane.inflight - 1)
  change(lane)
end

-- The job has not taken a worker down.
local function survived(id)
  ended.crashes[#ended.crashes + 1] = id
end

-- Write what `unlease` and `survived` have gathered.
local function forget_ended()
  if #ended.tokens > 0 then
    many('HDEL', 'active', ended.tokens)
    many('ZREM', 'leases', ended.tokens)
    many('HDEL', 'crashes', ended.crashes)
    for holder, number in pairs(ended.held) do add('held', holder, number) end
  end
  ended = { tokens = {}, crashes = {}, held = {} }
end

-- Write what has changed of the lanes, and forget them.
local function finish()
  forget_ended()
  for _, lane in ipairs(order) do
    for list, number in pairs(lane.taken) do
      if number == 1 then
        redis.call('LPOP', P .. list .. lane.ep)
      else
        redis.call('LTRIM', P .. list .. lane.ep, number, -1)
      end
    end
  end
  settle_changed()
  for _, key in ipairs(WRITTEN) do
    local set, gone = {}, {}
    for _, lane in ipairs(order) do
      local value = lane[key]
      if value == 0 then value = nil end
      if lane.was and value ~= lane.was[key] then
        if value then set[#set + 1], set[#set + 2] = lane.ep, whole(value) else gone[#gone + 1] = lane.ep end
      end
    end
    many('HSET', key, set)
    many('HDEL', key, gone)
  end
  local paces, waiting, apps = {}, 0, {}
  for _, lane in ipairs(order) do
    if lane.paced then
      paces[#paces + 1] = lane.ep
      paces[#paces + 1] = string.format('%.0f %.0f %.0f', lane.pace, lane.used, lane.since)
    end
    if lane.entries ~= 0 then
      waiting = waiting + lane.entries
      if tonumber(redis.call('ZINCRBY', P .. 'depth', lane.entries, lane.ep)) <= 0 then
        redis.call('ZREM', P .. 'depth', lane.ep)
      end
    end
    add('later', lane.ep, lane.later)
    if lane.app then apps[lane.app] = (apps[lane.app] or 0) + lane.entries + lane.later end
  end
  many('HSET', 'paces', paces)
  if waiting ~= 0 then redis.call('INCRBY', P .. 'waiting', waiting) end
  for app, number in pairs(apps) do add('apps', app, number) end
  lanes, order = {}, {}
end

-- Cut (half) or raise (by one) what a lane may have in flight.
local function judge(lane, good)
  if not lane.rule.slow then return end
  local cap = lane.caps or 1
  if good then cap = math.min(cap + 1, math.max(2, lane.rule.most)) else cap = math.max(1, math.floor(cap / 2)) end
  lane.caps = cap
end

-- Push to `failed`, which holds at most `most` jobs (0: any number). Returns how many old ones had to go.
local function to_failed(job, most)
  local length = redis.call('LPUSH', P .. 'failed', job)
  if most <= 0 or length <= most then return 0 end
  redis.call('LTRIM', P .. 'failed', 0, most - 1)
  return length - most
end

local function as_json(text)
  local rest = text:gsub('[\194-\223][\128-\191]', ''):gsub('[\224-\239][\128-\191][\128-\191]', '')
    :gsub('[\240-\244][\128-\191][\128-\191][\128-\191]', '')
  if rest:find('[\128-\255]') then text = text:gsub('[\128-\255]', '?') end
  return cjson.encode(text)
end

local function tail(class, message)
  return ',"failed_ms":' .. whole(wall) .. ',"error":{"class":' .. cjson.encode(class)
    .. ',"status":null,"message":' .. cjson.encode(message) .. '}'
end

-- The text of a job as it goes to `failed`: as jobs.bury and jobs.poison in Python make it.
local function bury(job, class, message)
  local old = job:match('^({"v":1,.*%]),"failed_ms":%d+,"error":{.*}}$')
  if old then job = old .. '}' end
  if job:match('^{"v":1,.*%]}$') then return job:sub(1, -2) .. tail(class, message) .. '}' end
  if job:find('"class":"poison"', 1, true) and job:find(',"raw":', 1, true) then return job end
  local id, ep = header(job)
  return '{"v":1,"id":' .. as_json(id or ('poison-' .. whole(wall))) .. ',"ep":' .. as_json(ep or '')
    .. ',"kind":"webhook","app":"","attempt":0,"redrives":0,"created_ms":' .. whole(wall) .. ',"events":[]'
    .. tail('poison', message) .. ',"raw":' .. as_json(job) .. '}'
end

-- Route up to `most` jobs of `default` to their lanes. Returns how many were poison, how many dead ones had to go, and
-- whether there may be more.
local function route(most, dead_most)
  local poisoned, trimmed = 0, 0
  for _ = 1, most do
    local job = redis.call('LINDEX', P .. 'default', -1)
    if not job then return poisoned, trimmed, false end
    local _, ep = header(job)
    if ep then
      local lane = lane_of(ep)
      push_tail(lane, job)
      change(lane)
    else
      trimmed = trimmed + to_failed(bury(job, 'poison', 'the job is not JSON, or has no id or no endpoint'), dead_most)
      poisoned = poisoned + 1
    end
    redis.call('RPOP', P .. 'default')
  end
  return poisoned, trimmed, true
end

-- Note the time, and go on from the last one when the server's clock was set back.
local function keep_time()
  if wall + skew < noted then skew = noted - wall end
  redis.call('SET', P .. 'clock', whole(now) .. ' ' .. whole(skew))
end

local PAGE = 200 -- entries of a lane that are read at once, or more where one job takes more

-- The next job of a lane, of which the call may take so many; from which list, and how many entries of it. nil when the
-- lane is empty.
local function peek(lane, most)
  local list = lane.ready > 0 and 'lane:' or 'gather:'
  local size = lane.ready > 0 and 1 or lane.rule.size
  local left = lane.ready > 0 and lane.ready or lane.gathered
  local page, past = lane.jobs[list], lane.taken[list] or 0
  if not page or #page.texts - (past - page.start) < math.min(size, left) then
    local number = math.max(size, math.min(most * size, PAGE))
    page = { start = past, texts = redis.call('LRANGE', P .. list .. lane.ep, past, past + number - 1) }
    lane.jobs[list] = page
  end
  local texts, first = page.texts, past - page.start + 1
  local job = texts[first]
  if not job or list == 'lane:' then return job, list, 1 end
  if job:byte(1) == 33 then return job:sub(2), list, 1 end
  if size == 1 then return job, list, 1 end
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
  return table.concat(parts, ',') .. ']}', list, #parts
end

-- What peek returned is to go, once it has been put elsewhere. From then on nothing may be pushed to the lane's head.
local function drop_peeked(lane, list, number)
  lane.taken[list] = (lane.taken[list] or 0) + number
  lane.entries = lane.entries - number
  if list == 'lane:' then
    lane.ready = lane.ready - number
  else
    lane.gathered = lane.gathered - number
    if lane.gathered == 0 then lane.windows = nil end
  end
end
