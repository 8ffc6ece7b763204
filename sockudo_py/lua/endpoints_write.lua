#!lua
-- Changes rows of the endpoint store, all or none, and adds a line to its audit.
-- KEYS[1]: the hash of rows; a field is "REVISION TEXT". Beside it: KEYS[1]:version, :audit, :lines.
-- ARGV: most rows, most lines, app and text of the line ("" and "": none), then for each change: key, revision that was
-- seen (0: there is no row), 1 and the text, or 0 and "" to delete.
-- Answers {1, version}, {0, key} when a row is another one by now, or {-1} when there are too many.
local rows = KEYS[1]
local grows = 0
for at = 5, #ARGV, 4 do
  local found = redis.call('HGET', rows, ARGV[at])
  local revision = '0'
  if found then revision = string.match(found, '^(%d+) ') or '0' end
  if revision ~= ARGV[at + 1] then return {0, ARGV[at]} end
  if ARGV[at + 2] == '1' and not found then grows = grows + 1 end
  if ARGV[at + 2] == '0' and found then grows = grows - 1 end
end
if grows > 0 and redis.call('HLEN', rows) + grows > tonumber(ARGV[1]) then return {-1} end
local version
if #ARGV < 5 then
  version = tonumber(redis.call('GET', rows .. ':version') or '0')
else
  version = redis.call('INCR', rows .. ':version')
end
for at = 5, #ARGV, 4 do
  if ARGV[at + 2] == '1' then
    redis.call('HSET', rows, ARGV[at], version .. ' ' .. ARGV[at + 3])
  else
    redis.call('HDEL', rows, ARGV[at])
  end
end
if ARGV[4] ~= '' then
  local number = redis.call('INCR', rows .. ':lines')
  redis.call('LPUSH', rows .. ':audit', number .. ' ' .. #ARGV[3] .. ' ' .. ARGV[3] .. ARGV[4])
  redis.call('LTRIM', rows .. ':audit', 0, tonumber(ARGV[2]) - 1)
end
-- The rows are written: that nobody may be told of it (an ACL without this channel) makes no error of that.
if #ARGV >= 5 then redis.pcall('PUBLISH', rows .. ':changed', version) end
return {1, version}
