-- Markers of batches: half an hour of them in one hash, three hashes kept. By the time of versions,
-- which never runs backwards.
local PERIOD, KEPT = 1800, 3

local function number(eight)
  local high, low = read('>I4I4', eight)
  return high * 4294967296 + low
end

local now = call('TIME')
local moment = math.max(now[1] * 1000000 + now[2], number(version) + 1)
local period = math.floor(moment / (PERIOD * 1000000))

-- The version of a batch, empty if it was reported as not committed, or false.
local function marked(id)
  for back = 0, KEPT - 1 do
    local found = call('HGET', marker .. (period - back), id)
    if found then return found end
  end
  return false
end

local function mark(id, what)
  local key = marker .. period
  call('HSET', key, id, what)
  if call('HLEN', key) == 1 then call('EXPIRE', key, PERIOD * (KEPT + 1)) end
end
