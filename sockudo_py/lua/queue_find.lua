#!lua flags=allow-oom,no-writes
-- Return dead jobs, newest first, looking at 1,000 at a time.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  where to go on: how many of the oldest are left to look at; 0: begin with the newest
-- ARGV[4]  how many of those that are meant to leave out
-- ARGV[5]  how many to return at most
-- ARGV[6..] which, see queue_chosen.lua
-- Returns {where to go on or -1 when done, how many to leave out then, job, ...}. Places count from the oldest: what
-- dies meanwhile moves none.
-- include queue_common.lua
-- include queue_chosen.lua

local LOOKS = 1000
local place, offset, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if place == 0 then place = redis.call('LLEN', P .. 'failed') end
local answer = { place > LOOKS and place - LOOKS or -1, 0 }
if place > 0 then
  for _, job in ipairs(redis.call('LRANGE', P .. 'failed', -place, -math.max(1, place - LOOKS + 1))) do
    if is_chosen(job) then
      if offset > 0 then
        offset = offset - 1
      else
        answer[#answer + 1] = job
        if #answer - 2 >= most then break end
      end
    end
  end
end
answer[2] = offset
return answer
