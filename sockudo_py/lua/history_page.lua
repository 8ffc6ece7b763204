#!lua flags=allow-oom,no-writes
-- Return packs, newest first.
--
-- KEYS[1]  see history_common.lua
-- ARGV[1]  "endpoint", "app" or "all"
-- ARGV[2]  which one; "" for all
-- ARGV[3]  only packs before this place; 0: from the newest on
-- ARGV[4]  how many at most, of each app
-- ARGV[5]  only packs whose deliveries contain this text; "": any. It looks through all packs then
-- Returns {place, ep, app, rows, whether its payloads are kept, place, ...}; packs of several apps are not in order.
-- include history_common.lua

local which, name, most, text = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[5]
local till = ARGV[3] == '0' and '+' or ('(' .. ARGV[3] .. '-0')
local answer = {}
local function put(ep, entry)
  local fields, place = fields_of(entry)
  if text ~= '' and not fields.deliveries:find(text, 1, true) then return end
  local there = redis.call('HEXISTS', P .. 'history:pay:' .. fields.app, place)
  for _, each in ipairs({ place, ep, fields.app, fields.rows, there }) do answer[#answer + 1] = each end
end
local function of_endpoint(ep)
  local some = text ~= '' and redis.call('XREVRANGE', P .. 'hist:' .. ep, till, '-')
    or redis.call('XREVRANGE', P .. 'hist:' .. ep, till, '-', 'COUNT', most)
  for _, entry in ipairs(some) do put(ep, entry) end
end
local function of_app(app)
  for _, entry in ipairs(redis.call('XREVRANGE', P .. 'history:log:' .. app, till, '-', 'COUNT', most)) do
    local ep = entry[2][2]
    for _, row in ipairs(redis.call('XRANGE', P .. 'hist:' .. ep, entry[1], entry[1])) do put(ep, row) end
  end
end

if which == 'endpoint' then
  of_endpoint(name)
elseif which == 'app' then
  of_app(name)
else
  for _, app in ipairs(redis.call('SMEMBERS', P .. 'history:apps')) do of_app(app) end
end
return answer
