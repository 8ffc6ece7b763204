-- Shared by the queue scripts: the loader puts this text in place of their line "-- include queue_common.lua".
--
-- KEYS[1]  P, the prefix of all keys. It is passed as a key so that a cluster sends the call to the slot of its
--          hash tag; every other key is built from it and has the same tag.
-- ARGV[1]  ms added to the server's clock (0; tests move time with it)
-- ARGV[2]  the policy of a lane that has none, packed as in P policy
--
-- P default       LIST    jobs to be routed, consumed from the right
-- P failed        LIST    dead jobs, newest left
-- P delayed       ZSET    job -> due ms
-- P gather:<ep>   LIST    fresh single-event jobs of one endpoint, oldest left; "!" before those that go alone
-- P lane:<ep>     LIST    whole jobs of one endpoint, next one left
-- P lanes:new, P lanes:probation, P lanes:1024, P lanes:256, P lanes:64, P lanes
--                 ZSET    ep -> ms from which it can be claimed: lanes with something to claim and room in flight,
--                         in exactly one of these classes (those that take longer than so many ms; the fast ones)
-- P listed        HASH    ep -> in which of these
-- P depth         ZSET    ep -> entries in its two lists
-- P waiting       STRING  sum of P depth
-- P later         HASH    ep -> its jobs in P delayed
-- P app           HASH    ep -> the app that it is of
-- P apps          HASH    app -> entries of its lanes, those in P delayed included
-- P gates         HASH    ep -> ms before which nothing of it is claimed (rate limit, ordered retry)
-- P windows       HASH    ep -> ms at which its gathering window ends
-- P paused        SET     ep
-- P policy        HASH    ep -> "window_ms size max_bytes max_in_flight slow_start ordered per_s per_min per_h"
-- P caps          HASH    ep -> allowance in flight (slow start); none: never tried
-- P inflight      HASH    ep -> leased jobs
-- P paces         HASH    ep -> "pace used since": slot time of an attempt lately (-1: unknown), slot time since the last
--                         attempt ended, when that was brought up to date; ms
-- P held          HASH    worker:class -> its leased jobs of that class; the fast ones are not counted
-- P active        HASH    token -> job; a token is worker:sequence:number, and :class where that is not the fast one
-- P leases        ZSET    token -> deadline ms
-- P crashes       HASH    job id -> lease expiries in a row
-- P rl:<ep>       ZSET    token -> claim ms, of the longest rate limit window
-- P enq:<n>       SET     ids of the events appended in the n-th slice of time; expires
-- P epoch         STRING  made by the first claim, and anew after a FLUSHALL: whoever sees another one sends its policies
-- P present:<server> HASH  the ledger of a server: id of an occupancy -> [app, channel, user or null, socket or null] as
--                         JSON, and for each endpoint that has yet to hear of its end a line break and its uid
-- P servers       ZSET    server -> ms until which it counts as alive
-- P runs          HASH    server -> which run of it has beaten last
-- P claim:<worker> STRING "sequence token token ..." of the worker's last claim; expires
-- P clock         STRING  "noted skew": the time of the last claim or beat that noted it, a second ago at most while there
--                         is something to do; and by how many ms this is ahead of the server's time, which was set back
--
-- All times are of the queue's clock, which never goes back: waits, gates, windows, rate limits and leases end in time
-- when the server's clock is set right after it was ahead, or another server takes over whose clock is behind. Only what
-- leaves the queue, in the text of a job, is of the server's time.
--
-- Lua is atomic, not transactional: whatever moves a job adds it before it removes it.

local P = KEYS[1]
local clock = redis.call('TIME')
local wall = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local noted, skew = (redis.call('GET', P .. 'clock') or '0 0'):match('^(%d+) (%d+)$')
noted, skew = tonumber(noted or 0), tonumber(skew or 0)
local now = math.max(wall + skew, noted) -- stands still when the server's clock was set back, until the next claim
local exact = now + clock[2] % 1000 / 1000 -- for turns: many calls fall into one ms
local policies = {}
local known_paces = {} -- what this call has written to P paces
local CLASSES = { 'lanes:new', 'lanes:probation', 'lanes:1024', 'lanes:256', 'lanes:64', 'lanes' } -- see classes.py
local SLOWEST, FAST = 3, #CLASSES
local PACES = { 1024, 256, 64 }

-- What an operator may read or another program parses gets whole numbers, never 1.8e+12.
local function whole(number)
  return string.format('%.0f', number)
end

local function policy(ep)
  local found = policies[ep]
  if found then return found end
  local text = redis.call('HGET', P .. 'policy', ep) or ARGV[2]
  local window, size, bytes, most, slow, ordered, second, minute, hour =
    text:match('^(%d+) (%d+) (%d+) (%d+) (%d) (%d) (%d+) (%d+) (%d+)$')
  found = {
    window = tonumber(window), size = tonumber(size), bytes = tonumber(bytes), most = tonumber(most),
    slow = slow == '1', ordered = ordered == '1',
    limits = { { 1000, tonumber(second) }, { 60000, tonumber(minute) }, { 3600000, tonumber(hour) } },
  }
  if found.ordered then found.most = 1 end
  policies[ep] = found
  return found
end

-- Id and endpoint of a job, nil for a text that has none. The pattern is 100 times faster than parsing the events.
local function header(job)
  local id, ep = job:match('^{"v":1,"id":"([^"\\%c]+)","ep":"([^"\\%c]+)","kind":"webhook",')
  if ep then return id, ep end
  local ok, fields = pcall(cjson.decode, job)
  if ok and type(fields) == 'table' and type(fields.id) == 'string' and type(fields.ep) == 'string'
    and fields.id ~= '' and fields.ep ~= '' then
    return fields.id, fields.ep
  end
  return nil
end

local function add(key, name, number)
  if redis.call('HINCRBY', P .. key, name, number) <= 0 then redis.call('HDEL', P .. key, name) end
end

-- What a lane holds, delayed jobs included.
local function holds(ep)
  return tonumber(redis.call('ZSCORE', P .. 'depth', ep) or 0) + tonumber(redis.call('HGET', P .. 'later', ep) or 0)
end

local function hold(ep, number)
  local app = redis.call('HGET', P .. 'app', ep)
  if app then add('apps', app, number) end
end

local function count(ep, number)
  redis.call('INCRBY', P .. 'waiting', number)
  if tonumber(redis.call('ZINCRBY', P .. 'depth', number, ep)) <= 0 then redis.call('ZREM', P .. 'depth', ep) end
  hold(ep, number)
end

local function delay(ep, job, due)
  if redis.call('ZADD', P .. 'delayed', due, job) == 1 then
    add('later', ep, 1)
    hold(ep, 1)
  end
end

local function undelay(ep, job)
  if redis.call('ZREM', P .. 'delayed', job) == 1 then
    add('later', ep, -1)
    hold(ep, -1)
  end
end

local function class_of(ep, rule)
  if not rule.slow then return 'lanes', rule.most end
  local cap = redis.call('HGET', P .. 'caps', ep)
  if not cap then return 'lanes:new', 1 end
  cap = tonumber(cap)
  if cap <= 1 then return 'lanes:probation', 1 end
  local pace = known_paces[ep] or tonumber((redis.call('HGET', P .. 'paces', ep) or '0'):match('^-?%d+'))
  local class = FAST
  for at = #PACES, 1, -1 do
    if pace <= PACES[at] then break end
    class = SLOWEST + at - 1
  end
  return CLASSES[class], math.min(cap, rule.most)
end

local function unlist(ep)
  local class = redis.call('HGET', P .. 'listed', ep)
  if not class then return end
  redis.call('ZREM', P .. class, ep)
  redis.call('HDEL', P .. 'listed', ep)
end

-- Put a lane into the listing where it belongs now, or into none. A lane that was due already keeps its turn, unless
-- `turn` (ms) gives it another one.
local function settle(ep, turn)
  local rule = policy(ep)
  local gathered = redis.call('LLEN', P .. 'gather:' .. ep)
  local ready = redis.call('LLEN', P .. 'lane:' .. ep)
  local class, room = class_of(ep, rule)
  local flying = tonumber(redis.call('HGET', P .. 'inflight', ep) or 0)
  if gathered + ready == 0 or flying >= room or redis.call('SISMEMBER', P .. 'paused', ep) == 1 then
    unlist(ep)
    return nil
  end
  local from = tonumber(redis.call('HGET', P .. 'gates', ep) or 0)
  if ready == 0 and gathered < rule.size then
    from = math.max(from, tonumber(redis.call('HGET', P .. 'windows', ep) or 0))
  end
  local score = math.max(from, turn or exact)
  local before = redis.call('HGET', P .. 'listed', ep)
  if before == class and not turn and from <= now then
    local due = redis.call('ZSCORE', P .. class, ep)
    if due and tonumber(due) < now + 1 then return tonumber(due) end
  end
  if before ~= class then
    if before then redis.call('ZREM', P .. before, ep) end
    redis.call('HSET', P .. 'listed', ep, class)
  end
  redis.call('ZADD', P .. class, score, ep)
  return score
end

local function push_tail(ep, job)
  redis.call('RPUSH', P .. 'lane:' .. ep, job)
  count(ep, 1)
end

local function push_head(ep, job)
  redis.call('LPUSH', P .. 'lane:' .. ep, job)
  count(ep, 1)
end

-- The field of P held that counts this token; nil when none does.
local function holder_of(token)
  local worker, class = token:match('^(.*):%d+:%d+:(%d)$')
  return worker and worker .. ':' .. class
end

local LONGEST = 4096 -- ms: see classes.py

-- Bring the slot time of a lane up to date that had so many jobs in flight. `ended`: 'tried', a worker that 'died', or
-- nil. Returns 0, the turn before all others, when an attempt was much faster than usual: see Lane.measure in lanes.py.
local function account(ep, flying, ended)
  local pace, used, since = (redis.call('HGET', P .. 'paces', ep) or ''):match('^(-?%d+) (%d+) (%d+)$')
  pace, used = tonumber(pace or -1), tonumber(used or 0) + flying * math.max(0, now - tonumber(since or now))
  local faster
  if ended == 'tried' then
    faster = pace >= 0 and 2 * used < pace
    used = math.min(used, LONGEST)
    pace = pace < 0 and used or math.floor((7 * pace + used) / 8)
  end
  if ended then used = 0 end
  redis.call('HSET', P .. 'paces', ep, string.format('%.0f %.0f %.0f', pace, used, now))
  known_paces[ep] = pace
  return faster and 0 or nil
end

-- Forget the lease of a token; the job must be in its new place already. `ended` and the result as in account.
local function unlease(token, ep, ended)
  redis.call('HDEL', P .. 'active', token)
  redis.call('ZREM', P .. 'leases', token)
  local flying = redis.call('HINCRBY', P .. 'inflight', ep, -1)
  if flying <= 0 then redis.call('HDEL', P .. 'inflight', ep) end
  local holder = holder_of(token)
  if holder and redis.call('HINCRBY', P .. 'held', holder, -1) <= 0 then redis.call('HDEL', P .. 'held', holder) end
  return account(ep, flying + 1, ended)
end

-- Cut (half) or raise (by one) what a lane may have in flight.
local function judge(ep, good)
  local rule = policy(ep)
  if not rule.slow then return end
  local cap = tonumber(redis.call('HGET', P .. 'caps', ep) or 1)
  if good then cap = math.min(cap + 1, math.max(2, rule.most)) else cap = math.max(1, math.floor(cap / 2)) end
  redis.call('HSET', P .. 'caps', ep, cap)
end

-- Push to `failed`, which holds at most `most` jobs (0: any number). Returns how many old ones had to go.
local function to_failed(job, most)
  local length = redis.call('LPUSH', P .. 'failed', job)
  if most <= 0 or length <= most then return 0 end
  redis.call('LTRIM', P .. 'failed', 0, most - 1)
  return length - most
end

local function as_json(text)
  local rest = text:gsub('[\194-\223][\128-\191]', ''):gsub('[\224-\239][\128-\191][\128-\191]', '')
    :gsub('[\240-\244][\128-\191][\128-\191][\128-\191]', '')
  if rest:find('[\128-\255]') then text = text:gsub('[\128-\255]', '?') end
  return cjson.encode(text)
end

local function tail(class, message)
  return ',"failed_ms":' .. whole(wall) .. ',"error":{"class":' .. cjson.encode(class)
    .. ',"status":null,"message":' .. cjson.encode(message) .. '}'
end

-- The text of a job as it goes to `failed`: as jobs.bury and jobs.poison in Python make it.
local function bury(job, class, message)
  local old = job:match('^({"v":1,.*%]),"failed_ms":%d+,"error":{.*}}$')
  if old then job = old .. '}' end
  if job:match('^{"v":1,.*%]}$') then return job:sub(1, -2) .. tail(class, message) .. '}' end
  if job:find('"class":"poison"', 1, true) and job:find(',"raw":', 1, true) then return job end
  local id, ep = header(job)
  return '{"v":1,"id":' .. as_json(id or ('poison-' .. whole(wall))) .. ',"ep":' .. as_json(ep or '')
    .. ',"kind":"webhook","app":"","attempt":0,"redrives":0,"created_ms":' .. whole(wall) .. ',"events":[]'
    .. tail('poison', message) .. ',"raw":' .. as_json(job) .. '}'
end

-- Route up to `most` jobs of `default` to their lanes. Returns how many were poison, and how many dead ones had to go.
local function route(most, dead_most)
  local poisoned, trimmed = 0, 0
  for _ = 1, most do
    local job = redis.call('LINDEX', P .. 'default', -1)
    if not job then break end
    local _, ep = header(job)
    if ep then
      push_tail(ep, job)
      settle(ep)
    else
      trimmed = trimmed + to_failed(bury(job, 'poison', 'the job is not JSON, or has no id or no endpoint'), dead_most)
      poisoned = poisoned + 1
    end
    redis.call('RPOP', P .. 'default')
  end
  return poisoned, trimmed
end

-- Note the time, and go on from the last one when the server's clock was set back.
local function keep_time()
  if wall + skew < noted then skew = noted - wall end
  redis.call('SET', P .. 'clock', whole(now) .. ' ' .. whole(skew))
end

-- The next job of a lane, and how many entries of which list it takes; nil when the lane is empty.
local function peek(ep, rule)
  local job = redis.call('LINDEX', P .. 'lane:' .. ep, 0)
  if job then return job, 'lane:', 1 end
  local fresh = redis.call('LRANGE', P .. 'gather:' .. ep, 0, rule.size - 1)
  if not fresh[1] then return nil end
  if fresh[1]:byte(1) == 33 then return fresh[1]:sub(2), 'gather:', 1 end
  local parts, bytes = { fresh[1]:sub(1, -3) }, 0
  for n = 1, #fresh do
    local text = fresh[n]
    local _, start = text:find(',"events":[', 1, true)
    bytes = bytes + #text - start - 2 + (n > 1 and 1 or 0)
    if n > 1 then
      if text:byte(1) == 33 or bytes > rule.bytes then break end
      parts[n] = text:sub(start + 1, -3)
    end
  end
  return table.concat(parts, ',') .. ']}', 'gather:', #parts
end

-- Take away what peek returned, once it has been put elsewhere.
local function drop_peeked(ep, list, number)
  if number == 1 then
    redis.call('LPOP', P .. list .. ep)
  else
    redis.call('LTRIM', P .. list .. ep, number, -1)
  end
  count(ep, -number)
  if list == 'gather:' and redis.call('EXISTS', P .. 'gather:' .. ep) == 0 then
    redis.call('HDEL', P .. 'windows', ep)
  end
end
