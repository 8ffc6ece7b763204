#!lua flags=allow-oom
-- Take back expired leases, let in due and operator's jobs, and lease jobs from open lanes, in turn.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  worker: the same for all calls of one driver instance, and of no other
-- ARGV[4]  sequence: one higher for each claim of this worker; repeating one returns what it leased then
-- ARGV[5]  how many jobs at most
-- ARGV[6]  lease, ms
-- ARGV[7]  how many jobs this worker may hold of each class and all slower ones together: one number for each but the
--          fast class (SlotPolicy in classes.py)
-- ARGV[8]  how often a job's lease may expire before it counts as poison
-- ARGV[9]  how many jobs `failed` may hold (0: any number)
-- ARGV[10..]  endpoints whose lanes this worker leaves to others
-- Returns {ms until something may be claimed or -1, P epoch, leases expired, poisoned, dead jobs trimmed,
--          token, job, token, job, ...}.
-- include queue_common.lua

local worker, sequence, limit, lease = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local crashes_most, dead_most = tonumber(ARGV[8]), tonumber(ARGV[9])
local shares = {}
for number in ARGV[7]:gmatch('%d+') do shares[#shares + 1] = tonumber(number) end
local MOVES = 200 -- of each kind in one call, so that no call is long
local expired, poisoned, trimmed = 0, 0, 0
local claims = {}
local aside, asides = {}, #ARGV - 9
for at = 10, #ARGV do aside[ARGV[at]] = true end

local epoch = redis.call('GET', P .. 'epoch')
if not epoch then
  epoch = worker .. ':' .. sequence
  redis.call('SET', P .. 'epoch', epoch)
end

local function reply(wait)
  local answer = { wait, epoch, expired, poisoned, trimmed }
  for _, token in ipairs(claims) do
    local job = redis.call('HGET', P .. 'active', token)
    if job then
      answer[#answer + 1] = token
      answer[#answer + 1] = job
    end
  end
  return answer
end

local last = redis.call('GET', P .. 'claim:' .. worker)
if last then
  local before = tonumber(last:match('^%d+'))
  if sequence < before then return reply(0) end -- a late one: nobody waits for its answer
  if sequence == before then
    for token in last:gmatch(' ([^ ]+)') do claims[#claims + 1] = token end
    return reply(0)
  end
end

-- A hand has put this where only jobs belong. It must not stop every claim from here on.
local function dead_text(text)
  trimmed = trimmed + to_failed(bury(text, 'poison', 'the job is not JSON, or has no id or no endpoint'), dead_most)
  poisoned = poisoned + 1
end

if wall + skew < noted then keep_time() end

local overdue = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, MOVES)
for at = #overdue, 1, -1 do -- the one that expired first goes to the head last
  local token = overdue[at]
  local job = redis.call('HGET', P .. 'active', token)
  if job then
    local id, ep = header(job)
    if redis.call('HINCRBY', P .. 'crashes', id, 1) > crashes_most then
      trimmed = trimmed + to_failed(bury(job, 'poison', 'its lease expired ' .. crashes_most + 1
        .. ' times: the worker died, or hung, each time'), dead_most)
      redis.call('HDEL', P .. 'crashes', id)
      poisoned = poisoned + 1
    else
      push_head(ep, job)
    end
    unlease(token, ep, 'died')
    settle(ep)
    expired = expired + 1
  else
    redis.call('ZREM', P .. 'leases', token)
  end
end
local bad, gone = route(MOVES, dead_most)
poisoned, trimmed = poisoned + bad, trimmed + gone
for _, job in ipairs(redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, MOVES)) do
  local _, ep = header(job)
  if ep then
    push_tail(ep, job)
    undelay(ep, job)
    settle(ep)
  else
    dead_text(job)
    redis.call('ZREM', P .. 'delayed', job)
  end
end

-- True when the rate limits of the lane let one more claim pass; otherwise gates it until the moment they will.
local function passes(ep, rule)
  local longest, from = 0, 0
  for _, limit_of in ipairs(rule.limits) do
    local window, most = limit_of[1], limit_of[2]
    if most > 0 then
      longest = window
      local inside = redis.call('ZCOUNT', P .. 'rl:' .. ep, '(' .. whole(now - window), '+inf')
      if inside >= most then
        local oldest = redis.call('ZRANGE', P .. 'rl:' .. ep, -most, -most, 'WITHSCORES')
        from = math.max(from, tonumber(oldest[2]) + window)
      end
    end
  end
  if from == 0 then return true, longest end
  redis.call('HSET', P .. 'gates', ep, whole(from))
  return false, longest
end

local holders = {}
for class = 1, FAST - 1 do holders[class] = worker .. ':' .. class end
local held = redis.call('HMGET', P .. 'held', unpack(holders))
for class = 1, FAST - 1 do held[class] = tonumber(held[class] or 0) end
local served = 0

-- How many more jobs of this class the worker may hold.
local function room(class)
  local left, together = limit, 0
  for c = 1, FAST - 1 do
    together = together + held[c]
    if c >= class then left = math.min(left, shares[c] - together) end
  end
  return left
end

-- Lease the next job of a lane. Returns false when a rate limit keeps it.
local function take(ep, class)
  if redis.call('HGET', P .. 'listed', ep) ~= CLASSES[class] then -- a hand has been in the keys
    redis.call('ZREM', P .. CLASSES[class], ep)
    settle(ep)
    return false
  end
  local rule = policy(ep)
  local free, longest = passes(ep, rule)
  if not free then
    settle(ep, now)
    return false
  end
  local job, list, number = peek(ep, rule)
  if not job then -- listed without a job: a hand has been in the keys
    unlist(ep)
    return false
  end
  local _, owner = header(job)
  if not owner then
    dead_text(job)
    drop_peeked(ep, list, number)
    settle(ep, now)
    return false
  end
  local token = string.format('%s:%010d:%03d', worker, sequence, #claims + 1) -- ties in leases: in order of claims
  if class < FAST then
    token = token .. ':' .. class
    held[class] = redis.call('HINCRBY', P .. 'held', holders[class], 1)
  end
  if class < SLOWEST then redis.call('HSETNX', P .. 'caps', ep, 1) end
  redis.call('HSET', P .. 'active', token, job)
  redis.call('ZADD', P .. 'leases', now + lease, token)
  account(ep, redis.call('HINCRBY', P .. 'inflight', ep, 1) - 1)
  if longest > 0 then
    redis.call('ZREMRANGEBYSCORE', P .. 'rl:' .. ep, '-inf', now - longest)
    redis.call('ZADD', P .. 'rl:' .. ep, now, token)
    redis.call('PEXPIRE', P .. 'rl:' .. ep, longest)
  end
  drop_peeked(ep, list, number)
  redis.call('HDEL', P .. 'gates', ep)
  claims[#claims + 1] = token
  served = served + 1
  settle(ep, math.min(exact + served * 0.0003, now + 0.9995)) -- behind those that wait since before
  return true
end

local empty = {} -- classes that have nothing more to claim

-- Serve a class until the worker holds `most` of its jobs.
local function serve(class, most)
  while not empty[class] do
    local number = math.min(limit - #claims, room(class), most - (held[class] or 0))
    if number <= 0 then return end
    empty[class] = true
    for _, ep in ipairs(redis.call('ZRANGEBYSCORE', P .. CLASSES[class], '-inf', '(' .. whole(now + 1), 'LIMIT', 0,
      number + asides)) do
      if number > 0 and not aside[ep] then
        take(ep, class)
        number = number - 1
        empty[class] = nil
      end
    end
  end
end

-- The lane that has waited longest, of the classes of which the worker may hold one more job; and its class.
local function longest_waiting()
  local ep, class, turn
  for c = 1, FAST do
    if room(c) > 0 then
      local first = redis.call('ZRANGE', P .. CLASSES[c], 0, asides, 'WITHSCORES')
      for at = 1, #first, 2 do
        if not aside[first[at]] then
          local score = tonumber(first[at + 1])
          if score < now + 1 and (not turn or score < turn) then ep, class, turn = first[at], c, score end
          break
        end
      end
    end
  end
  return ep, class
end

-- Few slots: a class without a slot of its own would starve (see classes.py).
local few = false
for class = SLOWEST, FAST - 1 do few = few or shares[class] == shares[class - 1] end

if few then
  serve(1, shares[1])
  while #claims < limit do
    local ep, class = longest_waiting()
    if not ep then break end
    take(ep, class)
  end
else
  -- First what is a class's own: new lanes, those on probation, and so on. Then what is left over: the faster go first.
  for class = 1, FAST - 1 do serve(class, class < SLOWEST and shares[class] or shares[class] - shares[class - 1]) end
  for class = FAST, SLOWEST, -1 do serve(class, shares[class] or limit) end
end

if #claims > 0 then
  redis.call('SET', P .. 'claim:' .. worker, sequence .. ' ' .. table.concat(claims, ' '), 'PX', lease)
end

local wait = -1
local function due(key)
  local first = redis.call('ZRANGE', P .. key, 0, asides, 'WITHSCORES')
  for at = 1, #first, 2 do
    if not aside[first[at]] then
      local ms = math.max(0, math.floor(tonumber(first[at + 1]) - now))
      if wait < 0 or ms < wait then wait = ms end
      break
    end
  end
end
for class = 1, FAST do
  if room(class) > 0 then due(CLASSES[class]) end
end
due('delayed')
due('leases')
if redis.call('EXISTS', P .. 'default') == 1 then wait = 0 end
if wait >= 0 and now - noted >= 1000 then keep_time() end -- an idle queue writes nothing
return reply(wait)
