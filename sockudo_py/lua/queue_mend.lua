#!lua flags=allow-oom
-- Count again what is counted elsewhere (in flight, held by workers, depths, what apps hold), so that a counter that a
-- hand, an expiry or a broken script left wrong does not stay wrong. Called once a minute. At a start also bound what
-- waits: it may have been written when the server's clock was ahead and `P clock` was not there yet.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  1 at the start of a worker
-- ARGV[4]  ms that a job is delayed, or a lane gated, at most
-- ARGV[5]  ms of a lease; a holder of a longer one renews it before
-- Returns {counters that were wrong, 1 when there is more to bound}.
-- include queue_common.lua
-- include queue_lanes.lua

local more = 0
local function bound(key, most)
  local late = redis.call('ZRANGEBYSCORE', P .. key, '(' .. whole(most), '+inf', 'LIMIT', 0, 1000)
  for _, member in ipairs(late) do redis.call('ZADD', P .. key, most, member) end
  if #late == 1000 then more = 1 end
end

local function bound_lanes(key, most_of)
  local moments = redis.call('HGETALL', P .. key)
  for at = 1, #moments, 2 do
    local ep, most = moments[at], most_of(moments[at])
    if tonumber(moments[at + 1]) > most then redis.call('HSET', P .. key, ep, whole(most)) end
  end
end

local function rule(ep)
  glance({ ep }) -- not `look`: what that reads is about to be changed
  return lanes[ep].rule
end

if ARGV[3] == '1' then
  local longest = now + tonumber(ARGV[4])
  bound('delayed', longest)
  bound('leases', now + tonumber(ARGV[5]))
  bound_lanes('gates', function() return longest end)
  bound_lanes('windows', function(ep) return now + rule(ep).window end)
  for _, ep in ipairs(redis.call('HKEYS', P .. 'policy')) do
    if rule(ep).limited then
      redis.call('ZREMRANGEBYSCORE', P .. 'rl:' .. ep, '(' .. whole(now), '+inf')
    end
  end
  for _, class in ipairs(CLASSES) do
    local late = redis.call('ZRANGEBYSCORE', P .. class, '(' .. whole(now + 1), '+inf')
    look(late)
    for _, ep in ipairs(late) do settle(lanes[ep]) end
  end
  finish()
end

local inflight, held, wrong = {}, {}, 0
for _, token in ipairs(redis.call('HKEYS', P .. 'active')) do
  local _, ep = header(redis.call('HGET', P .. 'active', token))
  inflight[ep] = (inflight[ep] or 0) + 1
  local holder = holder_of(token)
  if holder then held[holder] = (held[holder] or 0) + 1 end
  if not redis.call('ZSCORE', P .. 'leases', token) then redis.call('ZADD', P .. 'leases', now, token) end
end

local touched = {}
local function recount(key, right)
  local before = redis.call('HGETALL', P .. key)
  for at = 1, #before, 2 do
    local name = before[at]
    if tonumber(before[at + 1]) ~= (right[name] or 0) then
      wrong = wrong + 1
      touched[name] = true
      if right[name] then redis.call('HSET', P .. key, name, right[name]) else redis.call('HDEL', P .. key, name) end
    end
    right[name] = nil
  end
  for name, number in pairs(right) do
    wrong = wrong + 1
    touched[name] = true
    redis.call('HSET', P .. key, name, number)
  end
end
recount('held', held)
touched = {}
recount('inflight', inflight)

local uncounted = {}
for _, ep in ipairs(redis.call('ZREVRANGE', P .. 'depth', 0, 999)) do
  local length = redis.call('LLEN', P .. 'gather:' .. ep) + redis.call('LLEN', P .. 'lane:' .. ep)
  local counted = tonumber(redis.call('ZSCORE', P .. 'depth', ep))
  if length ~= counted then
    wrong = wrong + 1
    uncounted[ep] = length - counted
    touched[ep] = true
  end
end

local names = {}
for ep in pairs(touched) do names[#names + 1] = ep end
table.sort(names)
look(names)
for _, ep in ipairs(names) do
  lanes[ep].entries = uncounted[ep] or 0
  change(lanes[ep])
end
finish()

-- What lanes have in `delayed`, and what apps hold: counted again where that is quick, else forgotten. Too low a count
-- only leaves a lane more room than it should have, and is right again when those jobs are gone.
local function sum(key)
  local all = 0
  for _, number in ipairs(redis.call('HVALS', P .. key)) do all = all + tonumber(number) end
  return all
end
local late = redis.call('ZCARD', P .. 'delayed')
if sum('later') ~= late then
  local right = {}
  for _, job in ipairs(late <= 1000 and redis.call('ZRANGE', P .. 'delayed', 0, -1) or {}) do
    local _, ep = header(job)
    if ep then right[ep] = (right[ep] or 0) + 1 end
  end
  recount('later', right)
end
if sum('apps') > tonumber(redis.call('GET', P .. 'waiting') or 0) + late then
  local right, lanes = {}, redis.call('HGETALL', P .. 'app')
  for at = 1, #lanes <= 2000 and #lanes or 0, 2 do
    local number = holds(lanes[at])
    if number > 0 then right[lanes[at + 1]] = (right[lanes[at + 1]] or 0) + number end
  end
  recount('apps', right)
end
return { wrong, more }
