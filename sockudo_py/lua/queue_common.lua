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
-- P reader:<ep>   LIST    tokens of the jobs of a lane that are leased to a reader, in the order of the lane; expires
-- P crashes       HASH    job id -> lease expiries in a row
-- P rl:<ep>       ZSET    token -> claim ms, of the longest rate limit window
-- P enq:<n>       SET     ids of the events appended in the n-th slice of time; expires
-- P keys:<app>    HASH    digest of an idempotency key -> its value
-- P keytimes:<app> ZSET   the same digest -> ms at which it was added
-- P epoch         STRING  made by the first claim, and again after a FLUSHALL: a worker that sees a new one sends its policies
-- P present:<server> HASH  the ledger of a server: id of an occupancy -> [app, channel, user or null, socket or null] as
--                         JSON, and for each endpoint that still has to get its end a line break and its uid
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
local MANY = 1000 -- words of one command; Lua hands over 8,000 at most

-- What an operator may read or another program parses gets whole numbers, never 1.8e+12.
local function whole(number)
  return string.format('%.0f', number)
end

-- Call `command` on a key with these words, some at a time. Returns the answers that are lists, joined.
local function many(command, key, words)
  if #words == 0 then return words end
  if #words <= MANY then return redis.call(command, P .. key, unpack(words)) end
  local all = {}
  for at = 1, #words, MANY do
    local some = redis.call(command, P .. key, unpack(words, at, math.min(#words, at + MANY - 1)))
    if type(some) == 'table' then
      for _, each in ipairs(some) do all[#all + 1] = each end
    end
  end
  return all
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

-- Note the time, and go on from the last one when the server's clock was set back.
local function keep_time()
  if wall + skew < noted then skew = noted - wall end
  redis.call('SET', P .. 'clock', whole(now) .. ' ' .. whole(skew))
end
