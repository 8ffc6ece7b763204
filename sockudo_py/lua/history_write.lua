#!lua
-- Write rows, and add to statistics.
--
-- KEYS[1]  see history_common.lua
-- ARGV[1]  id of the batch: written twice, it counts once
-- ARGV[2]  rows of each endpoint that are kept
-- ARGV[3]  bytes of payloads of each app that are kept
-- ARGV[4]  how many rows; then of each: ep, app, delivery, status, number, redrive, created ms, finished ms, test,
--          types, document, payload
-- then     of each tally: ep, last success ms, last failure ms, streak, whether it begins anew, how many pairs,
--          and these: field, number to add
-- Returns 1; 0: it was written before.
-- include history_common.lua

if not redis.call('SET', P .. 'history:batch:' .. ARGV[1], 1, 'NX', 'PX', 600000) then return 0 end

local bound, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 5
local lanes, apps = {}, {}
for _ = 1, tonumber(ARGV[4]) do
  local ep, app, delivery, finished, payload = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 7], ARGV[at + 11]
  local place = string.format('%.0f', redis.call('INCR', P .. 'history:place'))
  if redis.call('XLEN', P .. 'hist:' .. ep) == 0 then redis.call('ZADD', P .. 'history:oldest', finished, ep) end
  redis.call('XADD', P .. 'hist:' .. ep, place .. '-0', 'app', app, 'delivery', delivery, 'status', ARGV[at + 3],
    'number', ARGV[at + 4], 'redrive', ARGV[at + 5], 'created', ARGV[at + 6], 'finished', finished,
    'test', ARGV[at + 8], 'types', ARGV[at + 9], 'size', #payload, 'document', ARGV[at + 10])
  redis.call('XADD', P .. 'history:log:' .. app, place .. '-0', 'ep', ep)
  redis.call('SADD', P .. 'history:apps', app)
  local of = redis.call('HGET', P .. 'history:of', delivery) or (ep .. '\n' .. app)
  redis.call('HSET', P .. 'history:of', delivery, of .. '\n' .. place)
  local before = redis.call('HSTRLEN', P .. 'history:pay:' .. app, delivery)
  redis.call('HSET', P .. 'history:pay:' .. app, delivery, payload)
  redis.call('ZADD', P .. 'history:order:' .. app, place, delivery)
  redis.call('HINCRBY', P .. 'history:bytes', app, #payload - before)
  lanes[ep], apps[app] = true, true
  at = at + 12
end

for ep in pairs(lanes) do
  local excess = redis.call('XLEN', P .. 'hist:' .. ep) - bound
  while excess > 0 do
    local gone = trim(ep, excess)
    excess = gone > 0 and excess - gone or 0
    if gone == CHUNK then break end -- the bound was lowered: the rest goes bit by bit
  end
end
for app in pairs(apps) do lighten(app, bytes) end

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
  local pairs_ = tonumber(ARGV[at + 5])
  at = at + 6
  for _ = 1, pairs_ do
    redis.call('HINCRBY', stats, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
return 1
