#!lua
-- Add fresh events to their lanes. Not allow-oom: this is the one call that a full Redis refuses.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  ms for which an id that was appended is known
-- ARGV[4]  how many entries may wait in all lanes together (0: any number)
-- ARGV[5..]  for each event: id, endpoint, job text ("!" before it: goes alone)
-- Returns {added or -1 when there are too many, known already, ms until the first lane opens or -1}.
-- include queue_common.lua

local slice = math.ceil(tonumber(ARGV[3]) / 4)
local slot = math.floor(now / slice)
local known, ids = {}, {}
for at = 5, #ARGV, 3 do ids[#ids + 1] = ARGV[at] end
for back = 0, 4 do
  local key = P .. 'enq:' .. whole(slot - back)
  if redis.call('EXISTS', key) == 1 then
    for number, member in ipairs(redis.call('SMISMEMBER', key, unpack(ids))) do
      if member == 1 then
        known[ids[number]] = true
        redis.call('PEXPIRE', key, slice * 5) -- a write, so that a WAIT for replicas means this append
      end
    end
  end
end

local lanes, order, fresh, duplicates = {}, {}, {}, 0
for at = 5, #ARGV, 3 do
  local id, ep = ARGV[at], ARGV[at + 1]
  if known[id] then
    duplicates = duplicates + 1
  else
    known[id] = true
    fresh[#fresh + 1] = id
    if not lanes[ep] then
      lanes[ep] = {}
      order[#order + 1] = ep
    end
    table.insert(lanes[ep], ARGV[at + 2])
  end
end
if #fresh == 0 then return { 0, duplicates, -1 } end
local most = tonumber(ARGV[4])
if most > 0 and tonumber(redis.call('GET', P .. 'waiting') or 0) + #fresh > most then return { -1, duplicates, -1 } end

local opens = -1
for _, ep in ipairs(order) do
  local jobs = lanes[ep]
  local rule = policy(ep)
  local length = redis.call('RPUSH', P .. 'gather:' .. ep, unpack(jobs))
  count(ep, #jobs)
  local first = length == #jobs
  if first then redis.call('HSET', P .. 'windows', ep, whole(now + rule.window)) end
  if first or (length >= rule.size and length - #jobs < rule.size) then
    local score = settle(ep)
    if score and (opens < 0 or score - now < opens) then opens = math.max(0, score - now) end
  end
end
local key = P .. 'enq:' .. whole(slot)
redis.call('SADD', key, unpack(fresh))
redis.call('PEXPIRE', key, slice * 5)
return { #fresh, duplicates, opens }
