#!lua flags=allow-oom
-- Lease the first jobs of one lane to a reader, whatever holds the lane back from workers. What was leased of it to
-- readers is taken back first, into its order; so a call that is repeated leases the same jobs again.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  endpoint
-- ARGV[4]  what its tokens begin with: unique for each call
-- ARGV[5]  how many jobs at most
-- ARGV[6]  lease, ms
-- ARGV[7]  how many events a job gathers at most (0: as the lane's policy says)
-- ARGV[8]  how many jobs `failed` may hold (0: any number)
-- Returns {dead jobs trimmed, poisoned, token, job, token, job, ...}
-- include queue_common.lua
-- include queue_lanes.lua
-- include queue_bury.lua

local ep, call, limit, lease, size, dead_most = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]),
  tonumber(ARGV[7]), tonumber(ARGV[8])
local trimmed, poisoned = 0, 0
local lane = lane_of(ep)
local readers = P .. 'reader:' .. ep

local before = redis.call('LRANGE', readers, 0, -1)
local leased = many('HMGET', 'active', before)
for at = #before, 1, -1 do
  if leased[at] then
    push_head(lane, leased[at])
    unlease(before[at], lane)
  end
end
forget_ended()
if #before > 0 then redis.call('DEL', readers) end

if size > 0 and size < lane.rule.size then
  local rule = {}
  for key, value in pairs(lane.rule) do rule[key] = value end
  rule.size = size
  lane.rule = rule
end
local claims, tokens, deadlines, ids = {}, {}, {}, {}
while #tokens < limit do
  local job, entries = peek(lane, limit - #tokens)
  if not job then break end
  local id = header(job)
  if id then
    local token = string.format('%s:%03d', call, #tokens + 1) -- no worker's: see holder_of
    tokens[#tokens + 1], ids[#ids + 1] = token, id
    claims[#claims + 1], claims[#claims + 2] = token, job
    deadlines[#deadlines + 1], deadlines[#deadlines + 2] = now + lease, token
    account(lane)
    lane.inflight = lane.inflight + 1
  else
    trimmed = trimmed + to_failed(bury(job, 'poison', 'the job is not JSON, or has no id or no endpoint'), dead_most)
    poisoned = poisoned + 1
  end
  drop_peeked(lane, entries)
  change(lane)
end
if #tokens > 0 then
  many('HSET', 'active', claims)
  many('ZADD', 'leases', deadlines)
  many('HDEL', 'crashes', ids)
  redis.call('RPUSH', readers, unpack(tokens))
  redis.call('PEXPIRE', readers, lease + 3600000)
end
finish()
return { trimmed, poisoned, unpack(claims) }
