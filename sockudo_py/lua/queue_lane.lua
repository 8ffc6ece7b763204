#!lua flags=allow-oom
-- Change how lanes behave.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  policy | missing | pause | resume | gate
-- ARGV[4..]  policy, missing (only where there is none): endpoint, packed policy, endpoint, packed policy ...; gate: endpoint, ms; else one endpoint
-- Returns 1.
-- include queue_common.lua
-- include queue_lanes.lua

local verb, eps = ARGV[3], {}
if verb == 'policy' or verb == 'missing' then
  for at = 4, #ARGV, 2 do
    local command = verb == 'policy' and 'HSET' or 'HSETNX'
    if redis.call(command, P .. 'policy', ARGV[at], ARGV[at + 1]) == 1 or verb == 'policy' then eps[#eps + 1] = ARGV[at] end
  end
elseif verb == 'pause' then
  redis.call('SADD', P .. 'paused', ARGV[4])
elseif verb == 'resume' then
  redis.call('SREM', P .. 'paused', ARGV[4])
elseif tonumber(ARGV[5]) > 0 then
  redis.call('HSET', P .. 'gates', ARGV[4], whole(now + tonumber(ARGV[5])))
else
  redis.call('HDEL', P .. 'gates', ARGV[4])
end
if verb ~= 'policy' and verb ~= 'missing' then eps = { ARGV[4] } end
look(eps)
for _, ep in ipairs(eps) do settle(lanes[ep]) end
return 1
