#!lua flags=allow-oom
-- Move dead jobs back to `default`, oldest first, or delete them, some at a time.
--
-- KEYS[1], ARGV[1..2]  see queue_common.lua
-- ARGV[3]  redrive | purge
-- ARGV[4]  how many at most
-- ARGV[5]  how many of the oldest to leave out: those that were looked at before and are not meant
-- ARGV[6..] which, see queue_chosen.lua
-- Returns {jobs moved or deleted, how many to leave out next time or -1 when done}.
-- include queue_common.lua
-- include queue_chosen.lua

local verb, most, skip = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local LOOKS = 1000
local GONE = 'moved by queue_dead' -- put in place of what goes: one LREM per job would walk over all that stays each time
local page = redis.call('LRANGE', P .. 'failed', -skip - LOOKS, -skip - 1)
local done, kept = 0, 0
for at = #page, 1, -1 do
  if done >= most then break end
  local job = page[at]
  if is_chosen(job) then
    if verb == 'redrive' then redis.call('LPUSH', P .. 'default', job) end
    redis.call('LSET', P .. 'failed', at - #page - 1 - skip, GONE)
    done = done + 1
  else
    kept = kept + 1
  end
end
if done > 0 then redis.call('LREM', P .. 'failed', -done, GONE) end
if #page < LOOKS or done >= most then return { done, -1 } end
return { done, skip + kept }
