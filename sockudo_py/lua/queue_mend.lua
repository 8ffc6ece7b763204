#!lua flags=allow-oom
-- Count again what is counted elsewhere (in flight, held by workers, depths, what apps hold), so that a counter that a
-- hand, an expiry or a broken script left wrong does not stay wrong. Called once a minute.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- Returns how many counters were wrong.
-- include queue_common.lua

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

for _, ep in ipairs(redis.call('ZREVRANGE', P .. 'depth', 0, 999)) do
  local length = redis.call('LLEN', P .. 'gather:' .. ep) + redis.call('LLEN', P .. 'lane:' .. ep)
  local counted = tonumber(redis.call('ZSCORE', P .. 'depth', ep))
  if length ~= counted then
    wrong = wrong + 1
    count(ep, length - counted)
    touched[ep] = true
  end
end

local names = {}
for ep in pairs(touched) do names[#names + 1] = ep end
table.sort(names)
for _, ep in ipairs(names) do settle(ep) end

-- What lanes have in `delayed`, and what apps hold: counted anew where that is quick, else forgotten. Too low a count
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
return wrong
