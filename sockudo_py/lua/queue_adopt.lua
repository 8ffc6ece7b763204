#!lua flags=allow-oom
-- Take over what a server that is no longer alive has in the ledger. The same call may be repeated.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  the heir
-- ARGV[4]  the server that is gone
-- ARGV[5..]  ids of occupancies
-- Returns the ids that are the heir's now, no new ones when that server has come back.
-- include queue_common.lua

local alive = redis.call('ZSCORE', P .. 'servers', ARGV[4])
local gone = not alive or tonumber(alive) <= now
local from, to = P .. 'present:' .. ARGV[4], P .. 'present:' .. ARGV[3]
local taken = {}
for at = 5, #ARGV do
  local id = ARGV[at]
  local text = gone and redis.call('HGET', from, id)
  if text then
    redis.call('HSET', to, id, text)
    redis.call('HDEL', from, id)
  end
  if redis.call('HEXISTS', to, id) == 1 then taken[#taken + 1] = id end
end
if gone and redis.call('EXISTS', from) == 0 then
  redis.call('ZREM', P .. 'servers', ARGV[4])
  redis.call('HDEL', P .. 'runs', ARGV[4])
end
return taken
