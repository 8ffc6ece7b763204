#!lua flags=allow-oom,no-writes
-- Return rows, newest first.
--
-- KEYS[1]  see history_common.lua
-- ARGV[1]  "endpoint", "app" or "all", or "delivery"
-- ARGV[2]  which one; "" for all
-- ARGV[3]  only rows before this place; 0: from the newest on
-- ARGV[4]  how many at most; not for a delivery
-- Returns {ep, row as a stream has it, whether its payload is kept, ep, ...}; the rows of several apps are not in order.
-- include history_common.lua

local which, name, most = ARGV[1], ARGV[2], tonumber(ARGV[4])
local till = ARGV[3] == '0' and '+' or ('(' .. ARGV[3] .. '-0')
local answer = {}
local function put(ep, entry)
  answer[#answer + 1] = ep
  answer[#answer + 1] = entry
  local fields = fields_of(entry)
  answer[#answer + 1] = redis.call('HEXISTS', P .. 'history:pay:' .. fields.app, fields.delivery)
end
local function of_app(app)
  for _, entry in ipairs(redis.call('XREVRANGE', P .. 'history:log:' .. app, till, '-', 'COUNT', most)) do
    local ep = entry[2][2]
    local row = redis.call('XRANGE', P .. 'hist:' .. ep, entry[1], entry[1])
    if #row > 0 then put(ep, row[1]) end
  end
end

if which == 'endpoint' then
  for _, entry in ipairs(redis.call('XREVRANGE', P .. 'hist:' .. name, till, '-', 'COUNT', most)) do
    put(name, entry)
  end
elseif which == 'app' then
  of_app(name)
elseif which == 'all' then
  for _, app in ipairs(redis.call('SMEMBERS', P .. 'history:apps')) do of_app(app) end
else
  local of = redis.call('HGET', P .. 'history:of', name)
  local ep, _, places = (of or ''):match('^(.-)\n(.-)\n(.*)$')
  for place in (places or ''):gmatch('[^\n]+') do
    local row = redis.call('XRANGE', P .. 'hist:' .. ep, place .. '-0', place .. '-0')
    if #row > 0 then put(ep, row[1]) end
  end
end
return answer
