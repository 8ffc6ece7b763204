#!lua flags=allow-oom
-- A leased job failed for now: replace it by another text, claimable later. In an ordered lane it goes to the head and
-- gates the lane; else it waits in `delayed`.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  token
-- ARGV[4]  the job from now on
-- ARGV[5]  ms to wait
-- ARGV[6]  1 when the endpoint is healthy: its allowance is not cut
-- Returns 1, or 0 when the lease is gone, or -1 when the new text is no job.
-- include queue_common.lua

local token, job, wait = ARGV[3], ARGV[4], tonumber(ARGV[5])
local old = redis.call('HGET', P .. 'active', token)
if not old then return 0 end
local id, ep = header(old)
local _, target = header(job)
if not target then return -1 end
if policy(target).ordered then
  push_head(target, job)
  local gate = tonumber(redis.call('HGET', P .. 'gates', target) or 0)
  redis.call('HSET', P .. 'gates', target, whole(math.max(gate, now + wait)))
else
  delay(target, job, now + wait)
end
if ARGV[6] ~= '1' then judge(ep, false) end
redis.call('HDEL', P .. 'crashes', id)
settle(ep, unlease(token, ep, 'tried'))
return 1
