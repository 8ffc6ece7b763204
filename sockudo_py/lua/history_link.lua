#!lua
-- Note whose retries deliveries are, or say it.
--
-- KEYS[1]  see history_common.lua
-- ARGV[1]  ms for which it is kept; 0: say it
-- then     of each: delivery; and when it is noted: retry_of, ep, app, Unix ms
-- Returns, when asked, retry_of, ep, app and Unix ms of each; retry_of is "" for one that is unknown.
-- include history_common.lua

local answer = {}
if ARGV[1] == '0' then
  for at = 2, #ARGV do
    local found = redis.call('HMGET', P .. 'history:link:' .. ARGV[at], 'retry_of', 'ep', 'app', 'ms')
    for field = 1, 4 do answer[#answer + 1] = found[field] or '' end
  end
  return answer
end
for at = 2, #ARGV, 5 do
  local key = P .. 'history:link:' .. ARGV[at]
  redis.call('HSET', key, 'retry_of', ARGV[at + 1], 'ep', ARGV[at + 2], 'app', ARGV[at + 3], 'ms', ARGV[at + 4])
  redis.call('PEXPIRE', key, ARGV[1])
end
return answer
