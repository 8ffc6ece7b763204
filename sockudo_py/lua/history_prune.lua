#!lua flags=allow-oom
-- Delete packs that are too old or too many, 1,000 at most, and payloads beyond the bytes of their app.
--
-- KEYS[1]  see history_common.lua
-- ARGV[1]  packs that ended before this (Unix ms) are too old
-- ARGV[2]  rows of each endpoint that are kept
-- ARGV[3]  bytes of payloads of each app that are kept
-- Returns 1: there is more.
-- include history_common.lua

local old, bound, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left, more = CHUNK, 0
for _, ep in ipairs(redis.call('ZRANGEBYSCORE', P .. 'history:oldest', '-inf', '(' .. ARGV[1], 'LIMIT', 0, 100)) do
  if left <= 0 then return 1 end
  left = left - trim(ep, left, bound, old)
  more = 1
end
for _, ep in ipairs(redis.call('ZRANGE', P .. 'history:oldest', 0, -1)) do
  if tonumber(redis.call('HGET', P .. 'history:rows', ep) or 0) > bound then
    if left <= 0 then return 1 end
    left = left - trim(ep, left, bound)
    more = 1
  end
end
for _, app in ipairs(redis.call('SMEMBERS', P .. 'history:apps')) do
  if lighten(app, bytes) then more = 1 end
end
return more
