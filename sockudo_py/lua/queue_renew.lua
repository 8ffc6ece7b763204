#!lua flags=allow-oom
-- Extend leases.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  lease from now on, ms
-- ARGV[4..]  tokens
-- Returns the tokens whose lease is gone.
-- include queue_common.lua

local lost = {}
for at = 4, #ARGV do
  if redis.call('HEXISTS', P .. 'active', ARGV[at]) == 1 then
    redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[3]), ARGV[at])
  else
    lost[#lost + 1] = ARGV[at]
  end
end
return lost
