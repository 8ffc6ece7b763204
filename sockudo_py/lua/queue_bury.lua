-- What goes to `failed`, and what an operator has put into `default`. Needs queue_lanes.lua.

-- Push to `failed`, which holds at most `most` jobs (0: any number). Returns how many old ones had to go.
local function to_failed(job, most)
  local length = redis.call('LPUSH', P .. 'failed', job)
  if most <= 0 or length <= most then return 0 end
  redis.call('LTRIM', P .. 'failed', 0, most - 1)
  return length - most
end

-- The text of a job as it goes to `failed`: as jobs.bury and jobs.poison in Python make it.
local function bury(job, class, message)
  local old = job:match('^({"v":1,.*%]),"failed_ms":%d+,"error":{.*}}$')
  if old then job = old .. '}' end
  local function as_json(text)
    local rest = text:gsub('[\194-\223][\128-\191]', ''):gsub('[\224-\239][\128-\191][\128-\191]', '')
      :gsub('[\240-\244][\128-\191][\128-\191][\128-\191]', '')
    if rest:find('[\128-\255]') then text = text:gsub('[\128-\255]', '?') end
    return cjson.encode(text)
  end

  local function tail(class, message)
    return ',"failed_ms":' .. whole(wall) .. ',"error":{"class":' .. cjson.encode(class)
      .. ',"status":null,"message":' .. cjson.encode(message) .. '}'
  end

  if job:match('^{"v":1,.*%]}$') then return job:sub(1, -2) .. tail(class, message) .. '}' end
  if job:find('"class":"poison"', 1, true) and job:find(',"raw":', 1, true) then return job end
  local id, ep = header(job)
  return '{"v":1,"id":' .. as_json(id or ('poison-' .. whole(wall))) .. ',"ep":' .. as_json(ep or '')
    .. ',"kind":"webhook","app":"","attempt":0,"redrives":0,"created_ms":' .. whole(wall) .. ',"events":[]'
    .. tail('poison', message) .. ',"raw":' .. as_json(job) .. '}'
end

-- Route up to `most` jobs of `default` to their lanes. Returns how many were poison, how many dead ones had to go, and
-- whether there may be more.
local function route(most, dead_most)
  local poisoned, trimmed = 0, 0
  for _ = 1, most do
    local job = redis.call('LINDEX', P .. 'default', -1)
    if not job then return poisoned, trimmed, false end
    local _, ep = header(job)
    if ep then
      local lane = lane_of(ep)
      push_tail(lane, job)
      change(lane)
    else
      trimmed = trimmed + to_failed(bury(job, 'poison', 'the job is not JSON, or has no id or no endpoint'), dead_most)
      poisoned = poisoned + 1
    end
    redis.call('RPOP', P .. 'default')
  end
  return poisoned, trimmed, true
end
