#!lua flags=allow-oom
-- A leased job failed for good: put the given text, which says so, into `failed`.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  token
-- ARGV[4]  the dead job
-- ARGV[5]  1 when the endpoint is healthy: its allowance is not cut
-- ARGV[6]  how many jobs `failed` may hold (0: any number)
-- Returns {1, dead jobs trimmed}, or {0, 0} when the lease is gone.
-- include queue_common.lua

local token = ARGV[3]
local job = redis.call('HGET', P .. 'active', token)
if not job then return { 0, 0 } end
local id, ep = header(job)
local trimmed = to_failed(ARGV[4], tonumber(ARGV[6]))
if ARGV[5] ~= '1' then judge(ep, false) end
redis.call('HDEL', P .. 'crashes', id)
settle(ep, unlease(token, ep, 'tried'))
return { 1, trimmed }
