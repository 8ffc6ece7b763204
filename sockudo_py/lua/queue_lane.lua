#!lua flags=allow-oom
-- Change how lanes behave.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  policy | missing | pause | resume | gate
-- ARGV[4..]  policy, missing (only where there is none): endpoint, packed policy, endpoint, packed policy ...; gate: endpoint, ms; else one endpoint
-- Returns 1.
-- include queue_common.lua

if ARGV[3] == 'policy' then
  for at = 4, #ARGV, 2 do
    redis.call('HSET', P .. 'policy', ARGV[at], ARGV[at + 1])
    settle(ARGV[at])
  end
elseif ARGV[3] == 'missing' then
  for at = 4, #ARGV, 2 do
    if redis.call('HSETNX', P .. 'policy', ARGV[at], ARGV[at + 1]) == 1 then settle(ARGV[at]) end
  end
elseif ARGV[3] == 'pause' then
  redis.call('SADD', P .. 'paused', ARGV[4])
  settle(ARGV[4])
elseif ARGV[3] == 'gate' then
  local ms = tonumber(ARGV[5])
  if ms > 0 then
    redis.call('HSET', P .. 'gates', ARGV[4], whole(now + ms))
  else
    redis.call('HDEL', P .. 'gates', ARGV[4])
  end
  settle(ARGV[4])
else
  redis.call('SREM', P .. 'paused', ARGV[4])
  settle(ARGV[4])
end
return 1
