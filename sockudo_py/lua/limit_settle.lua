#!lua flags=allow-oom
-- What nodes have spent of rate limits since the last time, and what all of them have spent in the current window.
--
-- KEYS[1] the prefix of all keys. ARGV: for each limit its name, its window in ms, and how much was spent.
-- P name:number  STRING  spent in the number-th window since 1970; expires after two windows
-- Answers, for each: two fixed windows, the earlier one weighted by what of it lies in a window that ends now.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answers = {}
for at = 1, #ARGV, 3 do
  local window, spent = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local number = math.floor(now / window)
  local key = KEYS[1] .. ARGV[at] .. ':' .. window .. ':'
  local current
  if spent > 0 then
    current = redis.call('INCRBY', key .. string.format('%.0f', number), spent)
    redis.call('PEXPIRE', key .. string.format('%.0f', number), 2 * window)
  else
    current = tonumber(redis.call('GET', key .. string.format('%.0f', number)) or 0)
  end
  local before = tonumber(redis.call('GET', key .. string.format('%.0f', number - 1)) or 0)
  answers[#answers + 1] = math.floor(current + before * (1 - now % window / window))
end
return answers
