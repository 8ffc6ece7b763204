#!lua flags=allow-oom
-- A leased job was delivered: forget it.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  token
-- Returns 1, or 0 when the lease is gone.
-- include queue_common.lua

local token = ARGV[3]
local job = redis.call('HGET', P .. 'active', token)
if not job then return 0 end
local id, ep = header(job)
judge(ep, true)
redis.call('HDEL', P .. 'crashes', id)
unlease(token, ep)
settle(ep)
return 1
