#!lua flags=allow-oom
-- A batch of steps of one node. A refused leave would leave a ghost behind, so it runs also when memory is full.
--
-- include adapter_common.lua
-- ARGV[6]  the number of the batch
-- ARGV[7]  operations, each a letter and what belongs to it:
--          g c                                     the roster as it is before the operations behind it
--          m c user n was socket info limit k      member on this node (n 1) or not (0); limit "": none; k: the joins that
--                                                  are taken off the count below when the channel is full
--          c c n was tell                          n subscriptions on this node; tell 1: other nodes get the new count
--          u user n                                signed in on this node (1) or not (0)
--          w user                                  whether the user is signed in anywhere, after the operations before
-- was: whether, or how many, the node believes that Redis knew before.
-- Answers {"OK", an answer for each operation, ids and texts of transitions, ms of hold that are left}.

local refusal = fence()
if refusal then return { refusal } end
-- A step of a connection that is lost: the node has registered since, and asks again.
if tonumber(redis.call('HGET', P .. 'applied', node) or 0) >= tonumber(ARGV[6]) then return { 'STALE' } end
redis.call('HSET', P .. 'applied', node, ARGV[6])

local function emit_all(list)
  for _, one in ipairs(list) do emit(one[1], one[2], one[3]) end
end

local answers, refused = {}, {}
local at, last = 7, #ARGV
local of_members = {}
while at <= last do
  local op, c = ARGV[at], ARGV[at + 1]
  local answer
  if op == 'c' then
    local n = tonumber(ARGV[at + 2]) - (refused[c] or 0)
    queue = {}
    answer = set_count(inventory, node, c, n, tonumber(ARGV[at + 3]), ARGV[at + 4] == '1')
    local of_channel = queue
    queue = nil
    -- A channel is occupied before its members are added, and vacated after they are removed.
    local occupied = of_channel[1] and of_channel[1][1] == 'O'
    if occupied then emit_all(of_channel) end
    emit_all(of_members)
    if not occupied then emit_all(of_channel) end
    of_members = {}
    at = at + 5
  elseif op == 'm' then
    queue = of_members
    answer = set_member(inventory, node, c, ARGV[at + 2], ARGV[at + 3] == '1', ARGV[at + 4] == '1', ARGV[at + 5],
      ARGV[at + 6], tonumber(ARGV[at + 7]))
    queue = nil
    if answer < 0 then refused[c] = (refused[c] or 0) + tonumber(ARGV[at + 8]) end
    at = at + 9
  elseif op == 'g' then
    answer = redis.call('HGETALL', P .. 'r:' .. c)
    at = at + 2
  elseif op == 'w' then
    answer = redis.call('HEXISTS', P .. 'users', c)
    at = at + 2
  else
    answer = set_user(inventory, node, c, ARGV[at + 2] == '1')
    at = at + 3
  end
  answers[#answers + 1] = answer
end
local left = held()
return { 'OK', answers, events, left > 0 and left - now or 0 }
