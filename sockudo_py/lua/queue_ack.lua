#!lua flags=allow-oom
-- Leased jobs were delivered: forget them.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3..]  tokens
-- Returns for each token 1, or 0 when its lease is gone.
-- include queue_common.lua

local answers, touched, turns = {}, {}, {}
for at = 3, #ARGV do
  local token = ARGV[at]
  local job = redis.call('HGET', P .. 'active', token)
  if job then
    local id, ep = header(job)
    judge(ep, true)
    redis.call('HDEL', P .. 'crashes', id)
    turns[ep] = unlease(token, ep, 'tried') or turns[ep]
    touched[#touched + 1] = ep
  end
  answers[#answers + 1] = job and 1 or 0
end
local settled = {}
for _, ep in ipairs(touched) do
  if not settled[ep] then settle(ep, turns[ep]) end
  settled[ep] = true
end
return answers
