-- Which dead jobs are meant: those that fit every condition. jobs.fits in Python says the same.
--
-- ARGV[6..10] endpoint, app, failed since (ms), failed before (ms), error class: '*' for any, else '=' and the value
-- ARGV[11]    '*' for any id, else '=' and the ids follow

local function condition(at)
  local text = ARGV[at]
  return text ~= '*' and text:sub(2) or nil
end

local wanted_ep, wanted_app = condition(6), condition(7)
local since, before = tonumber(condition(8)), tonumber(condition(9))
local wanted_class = condition(10)
local wanted_ids = ARGV[11] ~= '*' and {} or nil
for at = 12, #ARGV do wanted_ids[ARGV[at]] = true end
local any = not (wanted_ep or wanted_app or since or before or wanted_class or wanted_ids)

local function number_of(value)
  return type(value) == 'number' and value or 0
end

local function is_chosen(job)
  if any then return true end
  local id, ep, app = job:match('^{"v":1,"id":"([^"\\%c]+)","ep":"([^"\\%c]+)","kind":"webhook","app":"([^"\\%c]*)",')
  local failed, class, at
  if id then failed, at = job:match('^.*%],"failed_ms":(%d+),"error":{()') end
  if failed then class = job:match('^"class":"([^"\\%c]*)"', at) end
  if class then
    failed = tonumber(failed)
  else
    local ok, fields = pcall(cjson.decode, job)
    if not ok or type(fields) ~= 'table' then return false end
    id, ep, app, failed = fields.id, fields.ep, fields.app, number_of(fields.failed_ms)
    class = type(fields.error) == 'table' and fields.error.class or nil
  end
  if wanted_ids and not (type(id) == 'string' and wanted_ids[id]) then return false end
  if wanted_ep and ep ~= wanted_ep then return false end
  if wanted_app and app ~= wanted_app then return false end
  if wanted_class and class ~= wanted_class then return false end
  return (not since or failed >= since) and (not before or failed < before)
end
