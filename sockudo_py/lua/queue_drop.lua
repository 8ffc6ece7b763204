#!lua flags=allow-oom
-- Move waiting and delayed jobs of an endpoint to `failed`, some at a time.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  endpoint
-- ARGV[4]  error class
-- ARGV[5]  rank in `delayed` to go on from
-- ARGV[6]  how many jobs `failed` may hold (0: any number)
-- ARGV[7]  1: forget the lane as well
-- Returns {jobs moved, rank to go on from or -1 when done, dead jobs trimmed}.
-- include queue_common.lua
-- include queue_lanes.lua
-- include queue_bury.lua

local ep, class, rank, dead_most = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local MOVES = 200
local moved, trimmed = 0, 0
local message = 'dropped before it was delivered'

if rank == 0 then
  local _, gone = route(MOVES, dead_most)
  trimmed = gone
end
local lane = lane_of(ep)
for _ = 1, MOVES do
  local job, number = peek(lane, MOVES)
  if not job then break end
  trimmed = trimmed + to_failed(bury(job, class, message), dead_most)
  drop_peeked(lane, number)
  moved = moved + 1
end
local left = lane.gathered + lane.ready
change(lane)
finish()
if left > 0 then return { moved, rank, trimmed } end

local page = redis.call('ZRANGE', P .. 'delayed', rank, rank + MOVES - 1)
local kept = 0
lane = lane_of(ep)
for _, job in ipairs(page) do
  local _, target = header(job)
  if target == ep then
    trimmed = trimmed + to_failed(bury(job, class, message), dead_most)
    undelay(lane, job)
    moved = moved + 1
  else
    kept = kept + 1
  end
end
local app = lane.app
if ARGV[7] == '1' and #page < MOVES then unlist(lane) end
finish()
if #page == MOVES then return { moved, rank + kept, trimmed } end

if ARGV[7] == '1' then
  if app then add('apps', app, -holds(ep)) end -- nothing, unless a count was wrong
  redis.call('HDEL', P .. 'app', ep)
  redis.call('HDEL', P .. 'policy', ep)
  redis.call('HDEL', P .. 'caps', ep)
  redis.call('HDEL', P .. 'paces', ep)
  redis.call('HDEL', P .. 'gates', ep)
  redis.call('SREM', P .. 'paused', ep)
  redis.call('DEL', P .. 'rl:' .. ep)
end
return { moved, -1, trimmed }
