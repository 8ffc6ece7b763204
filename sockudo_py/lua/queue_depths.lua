#!lua flags=allow-oom,no-writes
-- Figures of the queue.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  how many of the deepest lanes
-- Returns {waiting, active, delayed, failed, age in ms of the oldest that waits in one of the 500 deepest lanes,
--          paused ones apart,
--          endpoint, waiting, in flight, gate ms, pace ms, endpoint, ...}; a gate is ms from now.
-- include queue_common.lua

local oldest = 0
local function age(job)
  local created = job and tonumber(job:match('"created_ms":(%d+)'))
  if created then oldest = math.max(oldest, wall - created) end
end

local answer = {
  tonumber(redis.call('GET', P .. 'waiting') or 0) + redis.call('LLEN', P .. 'default'),
  redis.call('HLEN', P .. 'active'),
  redis.call('ZCARD', P .. 'delayed'),
  redis.call('LLEN', P .. 'failed'),
  0,
}
age(redis.call('LINDEX', P .. 'default', -1))
for rank, ep in ipairs(redis.call('ZREVRANGE', P .. 'depth', 0, 499)) do
  if redis.call('SISMEMBER', P .. 'paused', ep) == 0 then
    age(redis.call('LINDEX', P .. 'lane:' .. ep, 0))
    age(redis.call('LINDEX', P .. 'gather:' .. ep, 0))
  end
  if rank <= tonumber(ARGV[3]) then
    local gate = tonumber(redis.call('HGET', P .. 'gates', ep) or 0)
    answer[#answer + 1] = ep
    answer[#answer + 1] = tonumber(redis.call('ZSCORE', P .. 'depth', ep))
    answer[#answer + 1] = tonumber(redis.call('HGET', P .. 'inflight', ep) or 0)
    answer[#answer + 1] = math.max(0, gate - now)
    local pace = (redis.call('HGET', P .. 'paces', ep) or '0'):match('^%d+')
    answer[#answer + 1] = tonumber(pace or 0)
  end
end
answer[5] = oldest
return answer
