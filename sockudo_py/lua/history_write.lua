#!lua
-- Write packs, and add to statistics.
--
-- KEYS[1]  see history_common.lua
-- ARGV[1]  id of the batch: written twice, it counts once
-- ARGV[2]  rows of each endpoint that are kept
-- ARGV[3]  bytes of payloads of each app that are kept
-- ARGV[4]  how many packs; then of each: ep, app, count, newest ms, deliveries, rows, payloads
-- then     of each tally: ep, last success ms, last failure ms, streak, whether it begins at zero, how many pairs,
--          and these: field, number to add
-- Returns 1; 0: it was written before.
-- include history_common.lua

if not redis.call('SET', P .. 'history:batch:' .. ARGV[1], 1, 'NX', 'PX', 600000) then return 0 end

local bound, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 5
local lanes, apps = {}, {}
for _ = 1, tonumber(ARGV[4]) do
  local ep, app, count, newest, payloads = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 6]
  local last = redis.call('INCRBY', P .. 'history:place', count)
  local place = string.format('%.0f', last - count + 1)
  redis.call('ZADD', P .. 'history:oldest', 'NX', newest, ep)
  redis.call('HINCRBY', P .. 'history:rows', ep, count)
  redis.call('XADD', P .. 'hist:' .. ep, place .. '-0', 'app', app, 'count', count, 'newest', newest,
    'deliveries', ARGV[at + 4], 'rows', ARGV[at + 5])
  redis.call('XADD', P .. 'history:log:' .. app, place .. '-0', 'ep', ep)
  if #payloads > 0 then
    redis.call('HSET', P .. 'history:pay:' .. app, place, payloads)
    redis.call('ZADD', P .. 'history:order:' .. app, place, place)
    redis.call('HINCRBY', P .. 'history:bytes', app, #payloads)
  end
  lanes[ep], apps[app] = true, true
  at = at + 7
end
for ep in pairs(lanes) do trim(ep, CHUNK, bound) end
for app in pairs(apps) do
  redis.call('SADD', P .. 'history:apps', app)
  lighten(app, bytes)
end

while at <= #ARGV do
  local stats = P .. 'stats:' .. ARGV[at]
  for offset, field in ipairs({ 'last_success_ms', 'last_failure_ms' }) do
    local given = tonumber(ARGV[at + offset])
    if given > tonumber(redis.call('HGET', stats, field) or 0) then
      redis.call('HSET', stats, field, string.format('%.0f', given))
    end
  end
  if ARGV[at + 4] == '1' then
    redis.call('HSET', stats, 'consecutive_failures', ARGV[at + 3])
  else
    redis.call('HINCRBY', stats, 'consecutive_failures', ARGV[at + 3])
  end
  local count = tonumber(ARGV[at + 5])
  at = at + 6
  for _ = 1, count do
    redis.call('HINCRBY', stats, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
return 1
