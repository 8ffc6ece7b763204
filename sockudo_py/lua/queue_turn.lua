#!lua flags=allow-oom
-- One turn of a worker: take the answers to jobs that it holds, and lease it new ones. For the latter take back expired
-- leases, let in due and operator's jobs, and lease jobs from open lanes, in turn.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  worker: the same for all claims of one driver instance, and of no other
-- ARGV[4]  sequence: one higher for each claim of this worker; repeating one returns what it leased then
-- ARGV[5]  how many jobs at most; 0: the call only brings answers, and nothing else is looked at
-- ARGV[6]  lease, ms
-- ARGV[7]  how many jobs this worker may hold of each class and all slower ones together: one number for each but the
--          fast class (SlotPolicy in classes.py)
-- ARGV[8]  how often a job's lease may expire before it counts as poison
-- ARGV[9]  how many jobs `failed` may hold (0: any number)
-- ARGV[10] how many endpoints follow whose lanes this worker leaves to others
-- after them  the answers. `healthy` is 1 when the endpoint is healthy: its allowance is not cut.
--   ack, token                         delivered: forget the job
--   retry, token, text, ms, healthy    failed for now: put this text in its place, claimable later. In an ordered lane
--                                      it goes to the head and gates the lane; else it waits in `delayed`
--   fail, token, text, healthy         failed for good: put this text, which says so, into `failed`
--   release, token                     not tried: back to the head of the lane, and to its rate limit its claim
-- Returns {answers, dead jobs trimmed, ms until something may be claimed or -1, P epoch, leases expired, poisoned,
--          token, job, token, job, ...}, and only the first two without a claim.
-- Answers: one for each, 0 when the lease is gone; else of `release` the endpoint, of others 1; -1: the text is no job.
-- include queue_common.lua
-- include queue_lanes.lua
-- include queue_bury.lua

local worker, sequence, limit, lease = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local crashes_most, dead_most = tonumber(ARGV[8]), tonumber(ARGV[9])
local asides = tonumber(ARGV[10])
local expired, poisoned, trimmed = 0, 0, 0

-- What the answers do. `at`: where their words begin behind the token.
local WORDS = { ack = 2, release = 2, fail = 4, retry = 5 }
local take_answer = {}

function take_answer.ack(token, _, id, lane)
  judge(lane, true)
  safe[#safe + 1] = id
  unlease(token, lane, 'tried')
  return 1
end

function take_answer.retry(token, _, id, lane, at)
  local job, wait = ARGV[at], tonumber(ARGV[at + 1])
  local _, target = header(job)
  if not target then return -1 end
  local home = lane_of(target)
  if home.rule.ordered then
    push_head(home, job)
    home.gates = math.max(home.gates or 0, now + wait)
  else
    delay(home, job, now + wait)
  end
  if ARGV[at + 2] ~= '1' then judge(lane, false) end
  safe[#safe + 1] = id
  unlease(token, lane, 'tried')
  return 1
end

function take_answer.fail(token, _, id, lane, at)
  trimmed = trimmed + to_failed(ARGV[at], dead_most)
  if ARGV[at + 1] ~= '1' then judge(lane, false) end
  safe[#safe + 1] = id
  unlease(token, lane, 'tried')
  return 1
end

function take_answer.release(token, job, _, lane)
  push_head(lane, job)
  redis.call('ZREM', P .. 'rl:' .. lane.ep, token)
  unlease(token, lane)
  return lane.ep
end

local places, tokens, answers = {}, {}, {}
do
  local place = 11 + asides
  while place <= #ARGV do
    places[#places + 1] = place
    tokens[#tokens + 1] = ARGV[place + 1]
    place = place + WORDS[ARGV[place]]
  end
  local jobs, ids, homes, eps, answered = many('HMGET', 'active', tokens), {}, {}, {}, {}
  for number, token in ipairs(tokens) do
    if jobs[number] and not answered[token] then
      answered[token] = true
      ids[number], homes[number] = header(jobs[number])
      eps[#eps + 1] = homes[number]
    end
  end
  look(eps)
  for number, token in ipairs(tokens) do
    local lane = homes[number] and lanes[homes[number]]
    local verb = take_answer[ARGV[places[number]]]
    answers[number] = lane and verb(token, jobs[number], ids[number], lane, places[number] + 2) or 0
  end
end
if limit == 0 then
  finish()
  return { answers, trimmed }
end
forget_ended()

local aside = {}
for place = 11, 10 + asides do aside[ARGV[place]] = true end
local shares = {}
for number in ARGV[7]:gmatch('%d+') do shares[#shares + 1] = tonumber(number) end
local MOVES = 200 -- of each kind in one call, so that no call is long
local claims = {} -- token, job, token, job, ...

local epoch = redis.call('GET', P .. 'epoch')
if not epoch then
  epoch = worker .. ':' .. sequence
  redis.call('SET', P .. 'epoch', epoch)
end

local function reply(wait)
  finish()
  return { answers, trimmed, wait, epoch, expired, poisoned, unpack(claims) }
end

local last = redis.call('GET', P .. 'claim:' .. worker)
if last then
  local before = tonumber(last:match('^%d+'))
  if sequence < before then return reply(0) end -- a late one: nobody waits for its answer
  if sequence == before then
    for token in last:gmatch(' ([^ ]+)') do
      local job = redis.call('HGET', P .. 'active', token)
      if job then claims[#claims + 1], claims[#claims + 2] = token, job end
    end
    return reply(0)
  end
end

-- A hand has put this where only jobs belong. It must not stop every claim from here on.
local function dead_text(text)
  trimmed = trimmed + to_failed(bury(text, 'poison', 'the job is not JSON, or has no id or no endpoint'), dead_most)
  poisoned = poisoned + 1
end

if wall + skew < noted then keep_time() end

-- Ms until the first of a sorted set is due; nil when there is none.
local function first_due(key)
  local first = redis.call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
  return first[1] and math.max(0, math.floor(tonumber(first[2]) - now))
end

local function all_due(key)
  return redis.call('ZRANGEBYSCORE', P .. key, '-inf', now, 'LIMIT', 0, MOVES)
end

-- Call `handle` with each text that is a job, its id and its lane; `odd` with what is none.
local function each_job(jobs, from, to, step, handle, odd)
  local names, homes, eps = {}, {}, {}
  for number, job in ipairs(jobs) do
    if job then names[number], homes[number] = header(job) end
    if homes[number] then eps[#eps + 1] = homes[number] end
  end
  look(eps)
  for number = from, to, step do
    if homes[number] then handle(number, names[number], lanes[homes[number]]) else odd(number) end
  end
end

local function expire()
  local overdue = all_due('leases')
  local jobs = many('HMGET', 'active', overdue)
  each_job(jobs, #overdue, 1, -1, function(number, id, lane) -- the one that expired first goes to the head last
    local job = jobs[number]
    if redis.call('HINCRBY', P .. 'crashes', id, 1) > crashes_most then
      trimmed = trimmed + to_failed(bury(job, 'poison', 'its lease expired ' .. crashes_most + 1
        .. ' times: the worker died, or hung, each time'), dead_most)
      safe[#safe + 1] = id
      poisoned = poisoned + 1
    else
      push_head(lane, job)
    end
    unlease(overdue[number], lane, 'died')
    expired = expired + 1
  end, function(number) redis.call('ZREM', P .. 'leases', overdue[number]) end)
  forget_ended()
end

local function let_in()
  local jobs = all_due('delayed')
  each_job(jobs, 1, #jobs, 1, function(number, _, lane)
    push_tail(lane, jobs[number])
    undelay(lane, jobs[number])
    change(lane)
  end, function(number)
    dead_text(jobs[number])
    redis.call('ZREM', P .. 'delayed', jobs[number])
  end)
end

local wait
local function sooner(ms)
  if ms and (not wait or ms < wait) then wait = ms end
end

if first_due('leases') == 0 then expire() end
local bad, gone, more = route(MOVES, dead_most)
poisoned, trimmed = poisoned + bad, trimmed + gone
if more then wait = 0 end
local due = first_due('delayed')
if due == 0 then
  let_in()
  due = first_due('delayed')
end
sooner(due)
settle_changed()

-- True when the rate limits of the lane let one more claim pass; otherwise gates it until the moment they will.
local function passes(lane)
  if not lane.rule.limited then return true, 0 end
  local key, longest, from = P .. 'rl:' .. lane.ep, 0, 0
  for _, limit_of in ipairs(lane.rule.limits) do
    local window, most = limit_of[1], limit_of[2]
    if most > 0 then
      longest = window
      local inside = redis.call('ZCOUNT', key, '(' .. whole(now - window), '+inf')
      if inside >= most then
        local oldest = redis.call('ZRANGE', key, -most, -most, 'WITHSCORES')
        from = math.max(from, tonumber(oldest[2]) + window)
      end
    end
  end
  if from == 0 then return true, longest end
  lane.gates = from
  return false
end

local holders = {}
for class = 1, FAST - 1 do holders[class] = worker .. ':' .. class end
local held = many('HMGET', 'held', holders)
local held_before = {}
for class = 1, FAST - 1 do
  held[class] = tonumber(held[class] or 0)
  held_before[class] = held[class]
end
local number_of_claims = 0

-- How many more jobs of each class the worker may hold.
local rooms = {}
local function count_rooms()
  local together, left = 0, {}
  for class = 1, FAST - 1 do
    together = together + held[class]
    left[class] = shares[class] - together
  end
  rooms[FAST] = limit
  for class = FAST - 1, 1, -1 do rooms[class] = math.min(rooms[class + 1], left[class]) end
end
count_rooms()

-- Returns the open lanes of each class, the one whose turn is next first; and when the first of the others opens.
local lines = {}
for class = 1, FAST do
  local line = { head = 1 }
  if rooms[class] > 0 then
    local listed = redis.call('ZRANGE', P .. CLASSES[class], 0, limit + asides, 'WITHSCORES')
    for place = 1, #listed, 2 do
      if not aside[listed[place]] then
        local score = tonumber(listed[place + 1])
        if score >= now + 1 then
          line.opens = score
          break
        end
        line[#line + 1] = { ep = listed[place], turn = score }
      end
    end
    line.cut = not line.opens and #listed == 2 * (limit + asides + 1) -- there may be more
  end
  lines[class] = line
end

local deadlines = {}

-- Lease the job that the lane's turn brings. Returns the lane's next turn.
local function lease_job(lane, class, job, longest)
  number_of_claims = number_of_claims + 1
  local token = string.format('%s:%010d:%03d', worker, sequence, number_of_claims) -- ties in leases: in this order
  if class < FAST then
    token = token .. ':' .. class
    held[class] = held[class] + 1
    count_rooms()
  end
  if class < SLOWEST then lane.caps = lane.caps or 1 end
  claims[#claims + 1], claims[#claims + 2] = token, job
  deadlines[#deadlines + 1], deadlines[#deadlines + 2] = now + lease, token
  account(lane)
  lane.inflight = lane.inflight + 1
  if longest > 0 then
    local key = P .. 'rl:' .. lane.ep
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - longest)
    redis.call('ZADD', key, now, token)
    redis.call('PEXPIRE', key, longest)
  end
  lane.gates = false
  return math.min(exact + number_of_claims * 0.0003, now + 0.9995) -- behind those that wait since before
end

-- Give the first lane of a line its turn: one job, unless a rate limit keeps it.
local function take(class)
  local line = lines[class]
  local lane = lanes[line[line.head].ep]
  line.head = line.head + 1
  if lane.listed ~= CLASSES[class] then -- a hand has been in the keys
    redis.call('ZREM', P .. CLASSES[class], lane.ep)
    change(lane)
    return
  end
  local free, longest = passes(lane)
  if not free then
    change(lane, now)
    return
  end
  local job, entries = peek(lane, limit - number_of_claims)
  if not job then -- listed without a job: a hand has been in the keys
    unlist(lane)
    return
  end
  local turn = now
  if header(job) then turn = lease_job(lane, class, job, longest) else dead_text(job) end
  drop_peeked(lane, entries)
  change(lane, turn)
  local from, into = opens(lane)
  if from and from <= now and into == CLASSES[class] then line[#line + 1] = { ep = lane.ep, turn = turn } end
end

-- Serve a class until the worker holds `most` of its jobs.
local function serve(class, most)
  local line = lines[class]
  while true do
    local number = math.min(limit - number_of_claims, rooms[class], most - (held[class] or 0), #line - line.head + 1)
    if number <= 0 then return end
    local some = {}
    for place = line.head, line.head + number - 1 do some[#some + 1] = line[place].ep end
    look(some)
    for _ = 1, number do take(class) end
  end
end

-- Returns the class whose lane has waited longest, among classes in which the worker may hold one more job.
local function longest_waiting()
  local class, turn
  for c = 1, FAST do
    local first = lines[c][lines[c].head]
    if first and rooms[c] > 0 and (not turn or first.turn < turn) then class, turn = c, first.turn end
  end
  return class
end

-- Few slots: a class without a slot of its own would starve (see classes.py).
local few = false
for class = SLOWEST, FAST - 1 do few = few or shares[class] == shares[class - 1] end

if few then
  serve(1, shares[1])
  while number_of_claims < limit do
    local class = longest_waiting()
    if not class then break end
    look({ lines[class][lines[class].head].ep })
    take(class)
  end
else
  -- First what is a class's own: new lanes, those on probation, and so on. Then what is left over: the faster go first.
  for class = 1, FAST - 1 do serve(class, class < SLOWEST and shares[class] or shares[class] - shares[class - 1]) end
  for class = FAST, SLOWEST, -1 do serve(class, shares[class] or limit) end
end

if number_of_claims > 0 then
  local names = {}
  for place = 1, #claims, 2 do names[#names + 1] = claims[place] end
  many('HSET', 'active', claims)
  many('ZADD', 'leases', deadlines)
  for class = 1, FAST - 1 do add('held', holders[class], held[class] - held_before[class]) end
  redis.call('SET', P .. 'claim:' .. worker, sequence .. ' ' .. table.concat(names, ' '), 'PX', lease)
end

settle_changed()
for class, line in ipairs(lines) do
  if rooms[class] > 0 then
    if line.cut or line.head <= #line then sooner(0) end
    if line.opens then sooner(math.max(0, math.floor(line.opens - now))) end
    for _, lane in ipairs(order) do
      if lane.listed == CLASSES[class] and lane.score and not aside[lane.ep] then
        sooner(math.max(0, math.floor(lane.score - now)))
      end
    end
  end
end
sooner(first_due('leases'))
wait = wait or -1
if wait >= 0 and now - noted >= 1000 then keep_time() end -- an idle queue writes nothing
return reply(wait)
