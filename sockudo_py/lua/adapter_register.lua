#!lua flags=allow-oom
-- A node begins, or comes back after its connection was lost.
--
-- include adapter_common.lua
-- ARGV[2]  "" for a node that has no epoch yet
-- ARGV[6]  the lease, ms
-- ARGV[7]  the node timeout, ms
-- ARGV[8]  the server's run id: another one means that it was restarted, or that a replica took over
-- ARGV[9]  a random text, the epoch where there is none, or the beginning of an era: a counter would be the same on two
--          servers that were both the master for a while, and so would be the ids of different transitions
-- ARGV[10] 1 when this node has been registered before
-- ARGV[11] the number of the last batch that it sent: none of these is carried out from now on
-- ARGV[12] how many partitions the state is split into
-- ARGV[13] the number of the format of keys and messages
-- Answers {status, epoch, number of the node's last batch, its inventory, its outbox, ms of hold that are left}.
--   NEW    the node was not known
--   KNOWN  the node was known; Redis may have forgotten what came last, which the inventory shows
--   LOST   Redis has forgotten everything, or the node
--   SWEPT  others have taken the node out: it must come back under another name (nothing else in the answer)
--   SPLIT  the other nodes split the state into another number of partitions, which follows (nothing else)
--   FORMAT the other nodes write another format, whose number follows (nothing else)

local lease, timeout, run = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
for _, one in ipairs({ { 'partitions', ARGV[12], 'SPLIT' }, { 'format', ARGV[13], 'FORMAT' } }) do
  local name, mine, refused = unpack(one)
  local theirs = redis.call('HGET', META, name)
  if theirs ~= mine then
    if theirs and redis.call('EXISTS', P .. 'nodes', P .. 'dead', P .. 'pending') > 0 then return { refused, theirs } end
    redis.call('HSET', META, name, mine)
  end
end
local registered = ARGV[10] == '1'
local status = 'KNOWN'
local known = redis.call('HGET', META, 'epoch')
if not known then
  redis.call('HSET', META, 'epoch', ARGV[9], 'era', 0, 'run', run, 'seq', 0, 'order', 0)
  known = ARGV[9]
end
if epoch ~= '' and known ~= epoch then
  status = 'LOST'
  begin_hold(timeout)
end
epoch = known
if redis.call('HGET', META, 'run') ~= run then
  redis.call('HSET', META, 'era', ARGV[9]:sub(1, 8), 'run', run)
  begin_hold(timeout)
end
note_beat(timeout)
if not redis.call('ZSCORE', P .. 'nodes', node) and status ~= 'LOST' then
  if redis.call('ZSCORE', P .. 'gone', node) then return { 'SWEPT' } end
  status = registered and 'LOST' or 'NEW'
end
redis.call('ZADD', P .. 'nodes', whole(now + lease), node)
local left = held()
local applied = tonumber(redis.call('HGET', P .. 'applied', node) or 0)
redis.call('HSET', P .. 'applied', node, ARGV[11])
return {
  status, epoch, applied, redis.call('HGETALL', inventory),
  redis.call('HGETALL', outbox), left > 0 and left - now or 0,
}
