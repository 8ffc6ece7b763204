#!lua flags=allow-oom
-- Count again what is counted elsewhere (in flight, on probation, depths), so that a counter that a hand, an expiry or
-- a broken script left wrong does not stay wrong. Called once a minute.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- Returns how many counters were wrong.
-- include queue_common.lua

local inflight, probation, wrong = {}, {}, 0
for _, token in ipairs(redis.call('HKEYS', P .. 'active')) do
  local _, ep = header(redis.call('HGET', P .. 'active', token))
  inflight[ep] = (inflight[ep] or 0) + 1
  local worker = token:match('^(.*):%d+:%d+:p$')
  if worker then probation[worker] = (probation[worker] or 0) + 1 end
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
recount('probation', probation)
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
return wrong
