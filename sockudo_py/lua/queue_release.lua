#!lua flags=allow-oom
-- A leased job was not tried: give it back to the head of its lane, and its rate limit its claim.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  token
-- Returns the endpoint, or nil when the lease is gone.
-- include queue_common.lua

local token = ARGV[3]
local job = redis.call('HGET', P .. 'active', token)
if not job then return false end
local _, ep = header(job)
push_head(ep, job)
redis.call('ZREM', P .. 'rl:' .. ep, token)
unlease(token, ep)
settle(ep)
return ep
