-- Shared by the adapter scripts: the loader puts this text in place of their line "-- include adapter_common.lua".
--
-- KEYS[1]  P, the prefix of all keys with the partition's hash tag. No key of this name exists, so a server that is about
--          to give the slot away answers ASK, and a script never sees half a partition.
-- ARGV[1]  the node, eight hexadecimal digits
-- ARGV[2]  the epoch that the node knows
-- ARGV[3]  ms added to the server's clock (0; tests move time with it)
-- ARGV[4]  PUBLISH or SPUBLISH
-- ARGV[5]  the vacate delay, ms
--
-- A *channel* c is: app id, NUL, channel. An *entry* is "c" + c, a channel, or "m" + c + NUL + user, a member.
--
-- P meta     HASH  epoch, era, run, seq, order, beat, hold, partitions, format: see adapter_register.lua, adapter_beat.lua
-- P nodes    ZSET  node -> ms until which it counts as alive
-- P dead     SET   nodes whose inventory is being taken apart
-- P gone     ZSET  nodes that were taken out -> ms
-- P cursors  HASH  dead node -> how far its sweep has come
-- P applied  HASH  node -> the number of its last batch
-- P n:<node> HASH  the inventory of a node: "c" + c -> its subscriptions; "m" + c + NUL + user -> the socket of the user's
--                  first connection there; "u" + app + NUL + user -> 1
-- P o:<node> HASH  the outbox of a node: id of a transition -> what emit() writes
-- P totals   HASH  c -> subscriptions in the cluster
-- P names:<app> ZSET  occupied channels, all with score 0
-- P r:<c>    HASH  user -> "order:info"
-- P h        HASH  c + NUL + user -> how many nodes have the user, where it is more than one
-- P users    HASH  app + NUL + user -> on how many nodes the user is signed in
-- P pending  ZSET  entry -> ms at which it is told as vacated or removed; members before their channel
-- P doubt    ZSET  entry -> ms at which it is told as occupied or added: it came while something may have been forgotten.
--                  One time for all, so channels come before members
-- P pinfo    HASH  entry of a member in pending or doubt -> length of the socket, ":", socket, user_info

local P, node, epoch, PUBLISH = KEYS[1], ARGV[1], ARGV[2], ARGV[4]
local vacate = tonumber(ARGV[5])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[3])
local META = P .. 'meta'
local inventory, outbox = P .. 'n:' .. node, P .. 'o:' .. node
local events = {}
local queue -- where it is a table, transitions wait in it to be emitted in their order
local era, hold, doubted
local exact = now + clock[2] % 1000 / 1000

local function whole(number)
  return string.format('%.0f', number)
end

local function counted(text)
  return #text .. ':' .. text
end

-- Returns why this node may not go on (Redis has forgotten its state, or others have taken the node out), else nil.
local function fence()
  if redis.call('HGET', META, 'epoch') ~= epoch then return 'LOST' end
  if not redis.call('ZSCORE', P .. 'nodes', node) then return 'DEAD' end
  return nil
end

-- ms until which no node is taken out and no doubtful change is told; 0 when that is over.
local function held()
  if not hold then
    hold = tonumber(redis.call('HGET', META, 'hold') or 0)
    if hold <= now then hold = 0 end
  end
  return hold
end

local function begin_hold(timeout)
  hold = now + timeout
  redis.call('HSET', META, 'hold', whole(hold))
end

-- Notes that a node beats now. When nobody has for long, or the clock was set back, nobody is taken out for a while.
local function note_beat(timeout)
  local ahead = tonumber(redis.call('HGET', META, 'beat') or now) - now
  redis.call('HSET', META, 'beat', whole(now))
  if ahead < -timeout / 2 or ahead > timeout / 2 then begin_hold(timeout) end
  if ahead > timeout / 2 then -- what was to be at a time of the clock before is to be as much earlier
    for _, name in ipairs({ 'pending', 'doubt', 'nodes' }) do
      for _, entry in ipairs(redis.call('ZRANGE', P .. name, 0, -1)) do
        redis.call('ZINCRBY', P .. name, whole(-ahead), entry)
      end
    end
  end
end

-- Writes a transition to the outbox of this node, and into the answer. kind: O, V, A or R.
local function emit(kind, entry, info)
  if queue then
    queue[#queue + 1] = { kind, entry, info }
    return
  end
  era = era or redis.call('HGET', META, 'era')
  local id = epoch .. '.' .. era .. '-' .. redis.call('HINCRBY', META, 'seq', 1)
  local text = kind .. whole(now) .. ':' .. counted(entry) .. info
  redis.call('HSET', outbox, id, text)
  events[#events + 1] = id
  events[#events + 1] = text
end

-- Takes an entry out of `doubt`; returns whether it was there.
local function undoubt(entry)
  if doubted == nil then doubted = redis.call('EXISTS', P .. 'doubt') == 1 end
  if not doubted or redis.call('ZREM', P .. 'doubt', entry) == 0 then return false end
  redis.call('HDEL', P .. 'pinfo', entry)
  return true
end

-- was: the node believes that Redis knew the entry as its own.
local function came(entry, was, info)
  local kind = entry:sub(1, 1) == 'c' and 'O' or 'A'
  if redis.call('ZREM', P .. 'pending', entry) == 1 then
    if kind == 'A' then redis.call('HDEL', P .. 'pinfo', entry) end
  elseif was then
    undoubt(entry)
  elseif held() > 0 then
    doubted = true
    if redis.call('ZADD', P .. 'doubt', 'NX', whole(hold), entry) == 1 and kind == 'A' then
      redis.call('HSET', P .. 'pinfo', entry, info)
    end
  else
    emit(kind, entry, info)
  end
end

local function gone(entry, was, info)
  if not was or undoubt(entry) then return end
  local kind = entry:sub(1, 1) == 'c' and 'V' or 'R'
  if vacate == 0 then
    emit(kind, entry, info)
  else
    exact = exact + 0.001 -- what one call makes pending keeps its order
    local due = string.format('%.3f', exact + vacate)
    if redis.call('ZADD', P .. 'pending', 'NX', due, entry) == 1 and kind == 'R' then
      redis.call('HSET', P .. 'pinfo', entry, info)
    end
  end
end

local function publish(topic, text)
  redis.call(PUBLISH, P .. topic, text)
end

-- Sets how many subscriptions a node has on a channel; returns the total. was: as many as the node believes Redis knew.
local function set_count(list, from, c, n, was, tell)
  local own = tonumber(redis.call('HGET', list, 'c' .. c) or 0)
  if own == n then
    local total = tonumber(redis.call('HGET', P .. 'totals', c) or 0)
    if n == 0 and was > 0 then -- forgotten, and it has left since
      if total == 0 then gone('c' .. c, true, '') else undoubt('c' .. c) end
    end
    return total
  end
  if n > 0 then redis.call('HSET', list, 'c' .. c, whole(n)) else redis.call('HDEL', list, 'c' .. c) end
  local total = redis.call('HINCRBY', P .. 'totals', c, n - own)
  local before = total - n + own
  if before <= 0 then
    redis.call('ZADD', P .. 'names:' .. c:match('^%Z*'), 0, c:match('%z(.*)$'))
    came('c' .. c, was > 0, '')
  elseif total <= 0 then
    redis.call('HDEL', P .. 'totals', c)
    redis.call('ZREM', P .. 'names:' .. c:match('^%Z*'), c:match('%z(.*)$'))
    gone('c' .. c, was > 0, '')
  elseif was > 0 and own == 0 then
    undoubt('c' .. c)
  end
  if tell then publish('ch:' .. c, 'c' .. from .. whole(total)) end
  return total
end

-- Makes a user a member on a node, or not any more; returns 1 for the first or last node that has the user, else 0.
-- With a limit: -1 when the channel has as many members already.
local function set_member(list, from, c, user, present, was, socket, info, limit)
  local entry = 'm' .. c .. '\0' .. user
  local several = c .. '\0' .. user
  local roster = P .. 'r:' .. c
  local has = redis.call('HEXISTS', list, entry) == 1
  if has == present then
    if not present and was then
      if redis.call('HEXISTS', roster, user) == 1 then undoubt(entry) else gone(entry, true, counted(socket) .. info) end
    end
    return 0
  end
  local shown = redis.call('HGET', roster, user)
  if present then
    if shown then
      redis.call('HSET', list, entry, socket)
      if redis.call('HINCRBY', P .. 'h', several, 1) == 1 then redis.call('HINCRBY', P .. 'h', several, 1) end
      if was then undoubt(entry) end
      return 0
    end
    if limit and redis.call('HLEN', roster) >= limit then return -1 end
    redis.call('HSET', list, entry, socket)
    redis.call('HSET', roster, user, redis.call('HINCRBY', META, 'order', 1) .. ':' .. info)
    came(entry, was, counted(socket) .. info)
    publish('ch:' .. c, '+' .. from .. counted(user) .. info)
    return 1
  end
  redis.call('HDEL', list, entry)
  local nodes = tonumber(redis.call('HGET', P .. 'h', several) or 1)
  if nodes > 2 then
    redis.call('HSET', P .. 'h', several, nodes - 1)
    return 0
  elseif nodes == 2 then
    redis.call('HDEL', P .. 'h', several)
    return 0
  end
  redis.call('HDEL', roster, user)
  gone(entry, was, counted(socket) .. (shown and shown:match('^%d+:(.*)$') or info))
  publish('ch:' .. c, '-' .. from .. user)
  return 1
end

-- Makes a user signed in on a node, or not any more; returns 1 for the first or last node, else 0.
local function set_user(list, from, user, present)
  if (redis.call('HEXISTS', list, 'u' .. user) == 1) == present then return 0 end
  if present then
    redis.call('HSET', list, 'u' .. user, 1)
    if redis.call('HINCRBY', P .. 'users', user, 1) > 1 then return 0 end
    publish('w:' .. user, 'y' .. from)
  else
    redis.call('HDEL', list, 'u' .. user)
    if redis.call('HINCRBY', P .. 'users', user, -1) > 0 then return 0 end
    redis.call('HDEL', P .. 'users', user)
    publish('w:' .. user, 'n' .. from)
  end
  return 1
end
