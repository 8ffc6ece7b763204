#!lua flags=allow-oom
-- A node is alive, and does a piece of what somebody has to do: it takes dead nodes out and tells what has become due.
-- No claim, leader or lock: two nodes that sweep at once take turns, and one that dies half-way leaves nothing behind that
-- the next one has to know.
--
-- include adapter_common.lua
-- ARGV[6]  the lease, ms
-- ARGV[7]  the node timeout, ms
-- ARGV[8]  how much is done at once
-- ARGV[9]  how many nodes are known to have ended; their names follow, and then apps, each with its connections here
-- Answers {"OK", 1 when there is more to do at once, ids and texts of transitions, ms of hold that are left,
--          nodes found dead by this call, entries taken apart by it, nodes alive, entries that are pending}.

local refusal = fence()
if refusal then return { refusal } end
local lease, timeout, most = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
note_beat(timeout)
redis.call('ZADD', P .. 'nodes', whole(now + lease), node)
redis.call('ZREMRANGEBYSCORE', P .. 'gone', '-inf', whole(now - 3600000))
-- Here and not by commands of their own, which Redis refuses when its memory is full.
local apps = 10 + tonumber(ARGV[9])
for at = 10, apps - 1 do
  redis.call('ZADD', P .. 'nodes', 'XX', 0, ARGV[at])
end
for at = apps, #ARGV, 2 do
  redis.call('HSET', P .. 'conns:' .. node, ARGV[at], ARGV[at + 1])
end

local found, swept, more = 0, 0, 0

-- Takes a piece of a dead node apart: first its members, then its channels and users, then its outbox.
local function sweep(dead)
  local list, left = P .. 'n:' .. dead, P .. 'o:' .. dead
  if redis.call('HLEN', list) > 0 then
    local stage, cursor = (redis.call('HGET', P .. 'cursors', dead) or ''):match('^([ma])(%d+)$')
    if not stage then stage, cursor = 'm', '0' end
    local scan = redis.call('HSCAN', list, cursor, 'MATCH', stage == 'm' and 'm*' or '*', 'COUNT', most)
    for at = 1, #scan[2], 2 do
      local field, value = scan[2][at], scan[2][at + 1]
      local kind, rest = field:sub(1, 1), field:sub(2)
      if kind == 'm' then
        local c, user = rest:match('^(%Z*%z%Z*)%z(.*)$')
        if c then set_member(list, dead, c, user, false, true, value, 'null') end
      elseif kind == 'c' then
        if tonumber(value) and rest:find('%z') then set_count(list, dead, rest, 0, tonumber(value), true) end
      elseif kind == 'u' then
        set_user(list, dead, rest, false)
      end
      redis.call('HDEL', list, field) -- also what no node writes: it must not keep the sweep from its end
      swept = swept + 1
    end
    if scan[1] == '0' then stage = stage == 'm' and 'a' or 'm' end
    redis.call('HSET', P .. 'cursors', dead, stage .. scan[1])
    return
  end
  local scan = { '0' }
  repeat -- a table that was emptied in part may return nothing, and yet not be at its end
    scan = redis.call('HSCAN', left, scan[1], 'COUNT', most)
  until #scan[2] > 0 or scan[1] == '0'
  for at = 1, #scan[2], 2 do
    redis.call('HSET', outbox, scan[2][at], scan[2][at + 1])
    redis.call('HDEL', left, scan[2][at])
    events[#events + 1] = scan[2][at]
    events[#events + 1] = scan[2][at + 1]
  end
  if redis.call('HLEN', left) == 0 then
    redis.call('SREM', P .. 'dead', dead)
    redis.call('HDEL', P .. 'cursors', dead)
    redis.call('HDEL', P .. 'applied', dead)
    redis.call('DEL', P .. 'conns:' .. dead)
  end
end

-- Tells what is due.
local function tell_due(name, member, channel)
  local due = redis.call('ZRANGEBYSCORE', P .. name, '-inf', whole(now), 'LIMIT', 0, most)
  for _, entry in ipairs(due) do
    redis.call('ZREM', P .. name, entry)
    if entry:sub(1, 1) == 'm' then
      local info = redis.call('HGET', P .. 'pinfo', entry) or '0:null'
      redis.call('HDEL', P .. 'pinfo', entry)
      emit(member, entry, info)
    else
      emit(channel, entry, '')
    end
  end
  if #due == most then more = 1 end
end

if held() == 0 then
  for _, late in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nodes', '-inf', whole(now), 'LIMIT', 0, most)) do
    redis.call('ZREM', P .. 'nodes', late)
    redis.call('SADD', P .. 'dead', late)
    redis.call('ZADD', P .. 'gone', whole(now), late)
    found = found + 1
  end
  local dead = redis.call('SRANDMEMBER', P .. 'dead')
  if dead then
    sweep(dead)
    if redis.call('EXISTS', P .. 'dead') == 1 then more = 1 end
  end
  tell_due('doubt', 'A', 'O')
  tell_due('pending', 'R', 'V')
end
local left = held()
return {
  'OK', more, events, left > 0 and left - now or 0, found, swept, redis.call('ZCARD', P .. 'nodes'),
  redis.call('ZCARD', P .. 'pending'),
}
