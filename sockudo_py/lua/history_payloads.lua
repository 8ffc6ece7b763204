#!lua flags=allow-oom,no-writes
-- Return the payloads of deliveries, false where there is none.
--
-- KEYS[1]  see history_common.lua
-- ARGV     deliveries
-- include history_common.lua

local answer = {}
for at, delivery in ipairs(ARGV) do
  local of = redis.call('HGET', P .. 'history:of', delivery)
  local app = (of or ''):match('^.-\n(.-)\n')
  answer[at] = app and redis.call('HGET', P .. 'history:pay:' .. app, delivery) or false
end
return answer
