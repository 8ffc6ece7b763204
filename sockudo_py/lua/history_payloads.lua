#!lua flags=allow-oom,no-writes
-- Return payloads of rows, false where there is none.
--
-- KEYS[1]  see history_common.lua
-- ARGV     of each: app, place of the pack, where the payload starts (from 0), its bytes
-- include history_common.lua

local answer = {}
for at = 1, #ARGV, 4 do
  local start, size = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local all = size > 0 and redis.call('HGET', P .. 'history:pay:' .. ARGV[at], ARGV[at + 1])
  answer[#answer + 1] = all and all:sub(start + 1, start + size) or false
end
return answer
