#!lua flags=allow-oom
-- Say that a server is alive, and hear which ones are not.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  the server
-- ARGV[4]  ms for which it counts as alive
-- ARGV[5]  tells this run of it from any other
-- ARGV[6]  1: this run's first beat
-- Returns {1 if another run of this server has beaten since, a server that is no longer alive, another, ...}.
-- include queue_common.lua

local server, run = ARGV[3], ARGV[5]
local twin = 0
if ARGV[6] ~= '1' then
  local before = redis.call('HGET', P .. 'runs', server)
  if before and before ~= run then twin = 1 end
end
redis.call('HSET', P .. 'runs', server, run)
keep_time() -- also while there is nothing to claim
redis.call('ZADD', P .. 'servers', now + tonumber(ARGV[4]), server)
return { twin, unpack(redis.call('ZRANGEBYSCORE', P .. 'servers', '-inf', now, 'LIMIT', 0, 10)) }
