#!lua flags=allow-oom
-- A node that stops. When it is the last one, all that is pending falls due; it is gone when nothing of it is left.
--
-- include adapter_common.lua
-- ARGV[6]  how many changes are told at once
-- ARGV[7]  1: take the node out when nothing of it is left
-- Answers {"OK", what is left of the node, ids and texts of transitions}.

local refusal = fence()
if refusal then return { refusal } end
local most = tonumber(ARGV[6])
local waiting = 0
if redis.call('ZCARD', P .. 'nodes') == 1 and redis.call('EXISTS', P .. 'dead') == 0 then
  for _, name in ipairs({ 'doubt', 'pending' }) do
    local told = name == 'doubt' and { m = 'A', c = 'O' } or { m = 'R', c = 'V' }
    for _, entry in ipairs(redis.call('ZRANGE', P .. name, 0, most - 1)) do
      local kind = entry:sub(1, 1)
      redis.call('ZREM', P .. name, entry)
      emit(told[kind], entry, kind == 'm' and redis.call('HGET', P .. 'pinfo', entry) or '')
      redis.call('HDEL', P .. 'pinfo', entry)
    end
    waiting = waiting + redis.call('ZCARD', P .. name)
  end
end
local left = redis.call('HLEN', inventory) + redis.call('HLEN', outbox) + waiting
if left == 0 and ARGV[7] == '1' then
  redis.call('ZREM', P .. 'nodes', node)
  redis.call('HDEL', P .. 'applied', node)
  redis.call('DEL', P .. 'conns:' .. node)
end
return { 'OK', left, events }
