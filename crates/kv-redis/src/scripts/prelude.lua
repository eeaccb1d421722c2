-- What every script begins with: the record of the namespace is compared with what the client saw
-- last, before anything else is looked at.
--
-- Lua's own `<` on strings follows the server's locale and is never used on keys. Versions travel
-- as eight bytes, big-endian; arithmetic on them is exact below 2^53, which microseconds are.
local call, byte, sub, concat = redis.call, string.byte, string.sub, table.concat
local read, pack = struct.unpack, struct.pack
local meta = KEYS[1]
local root, index, content, marker = meta .. ':r', meta .. ':i:', meta .. ':p:', meta .. ':m:'
local HEADER, STEP = 8, 16

local function newer(a, b)
  local ah, al = read('>I4I4', a)
  local bh, bl = read('>I4I4', b)
  return ah > bh or (ah == bh and al > bl)
end

local record = call('HMGET', meta, 'id', 'version', 'floor', 'segments')
if not record[1] then return redis.error_reply('FGLOST the record of the namespace is gone') end
if record[1] ~= ARGV[1] then return redis.error_reply('FGOTHER the namespace was made anew') end
if newer(ARGV[2], record[2]) then return redis.error_reply('FGBACK the namespace is older than before') end
local version, floor, segments = record[2], record[3], tonumber(record[4])

local function corrupt(what)
  error({ err = 'FGCORRUPT ' .. what }, 0)
end

-- The order of bytes.
local function less(a, b)
  if a == b then return false end
  local i = 1
  while true do
    local a1, a2, a3, a4, a5, a6, a7, a8 = byte(a, i, i + 7)
    local b1, b2, b3, b4, b5, b6, b7, b8 = byte(b, i, i + 7)
    if a1 ~= b1 then return (a1 or -1) < (b1 or -1) end
    if a2 ~= b2 then return (a2 or -1) < (b2 or -1) end
    if a3 ~= b3 then return (a3 or -1) < (b3 or -1) end
    if a4 ~= b4 then return (a4 or -1) < (b4 or -1) end
    if a5 ~= b5 then return (a5 or -1) < (b5 or -1) end
    if a6 ~= b6 then return (a6 or -1) < (b6 or -1) end
    if a7 ~= b7 then return (a7 or -1) < (b7 or -1) end
    if a8 ~= b8 then return (a8 or -1) < (b8 or -1) end
    i = i + 8
  end
end

-- The segment that a key belongs to: the greatest bound at or below it.
local function segment_of(key)
  local found = call('ZREVRANGEBYLEX', root, '[' .. key, '-', 'LIMIT', 0, 1)[1]
  if not found and segments > 0 and call('EXISTS', root) == 0 then
    corrupt('the list of segments is gone; was it evicted?')
  end
  return found
end

-- The page of a segment that a key belongs to. A listed segment has pages.
local function page_of(segment, key)
  local found = call('ZREVRANGEBYLEX', index .. segment, '[' .. key, '-', 'LIMIT', 0, 1)[1]
  if not found and call('EXISTS', index .. segment) == 0 then
    corrupt('the index of a segment is gone; was it evicted?')
  end
  return found
end

-- The bytes of a listed page.
local function fetch(segment, bound)
  local raw = call('HGET', content .. segment, bound)
  if not raw then corrupt('a page is gone; was it evicted?') end
  return raw
end

local function first_key(raw)
  local length = read('<I2', raw, HEADER + 1)
  return sub(raw, HEADER + 7, HEADER + 6 + length)
end

local function last_key(raw)
  local at = read('<I4', raw, 5)
  local length = read('<I2', raw, at)
  return sub(raw, at + 6, at + 5 + length)
end

-- The value of a key in a page, or false.
local function search(raw, key)
  local length, ending, at, size = #key, byte(key, -1), HEADER + 1, #raw
  while at <= size do
    local key_length, value_length, body = read('<I2I4', raw, at)
    local value = body + key_length
    if key_length == length and byte(raw, value - 1) == ending and sub(raw, body, value - 1) == key then
      return sub(raw, value, value + value_length - 1)
    end
    at = value + value_length
  end
  return false
end

-- The bound behind a page, or false.
local function bound_behind(segment, bound)
  return call('ZRANGEBYLEX', index .. segment, '(' .. bound, '+', 'LIMIT', 0, 1)[1]
      or call('ZRANGEBYLEX', root, '(' .. segment, '+', 'LIMIT', 0, 1)[1] or false
end

-- The values of a page by their keys.
local function values_of(raw)
  local values, at, size = {}, HEADER + 1, #raw
  while at <= size do
    local key_length, value_length, body = read('<I2I4', raw, at)
    local value = body + key_length
    at = value + value_length
    values[sub(raw, body, value - 1)] = sub(raw, value, at - 1)
  end
  return values
end

-- Pages that keys were looked for in, of about so many bytes, and the last of them. Who looks for many
-- keys mostly looks for neighbours, one after the other: from the second key of a page on, its entries are
-- known by their keys; and from the second in a row on, also where the page ends, so that it need not be
-- found again.
local seen, seen_bytes, last_seen, SEEN = {}, 0, nil, 1048576

-- The value of a key, or false. Only for scripts that have changed nothing yet.
local function find(key)
  if key == '' then return false end
  local page = last_seen
  if page and page.upper ~= nil and not less(key, page.bound)
      and not (page.upper and not less(key, page.upper)) then
    return page.values[key] or false
  end
  local segment = segment_of(key)
  local bound = segment and page_of(segment, key)
  if not bound then return false end
  page = seen[bound]
  if page then
    page.values = page.values or values_of(page.raw)
    if page == last_seen and page.upper == nil then page.upper = bound_behind(segment, bound) end
    last_seen = page
    return page.values[key] or false
  end
  page = { bound = bound, raw = fetch(segment, bound) }
  if seen_bytes + #page.raw > SEEN then seen, seen_bytes = {}, 0 end
  seen[bound], seen_bytes, last_seen = page, seen_bytes + #page.raw, page
  return search(page.raw, key)
end

-- Gives the pages that may have keys in a range to `visit`, in order, until it returns false; the
-- first page given has a key at or behind where the scan begins. True if the range was exhausted.
local function pages_up(start, finish, visit)
  local segment = segment_of(start) or call('ZRANGE', root, 0, 0)[1]
  local from = segment and page_of(segment, start)
  from = from and '[' .. from or '-'
  local begun = false
  while segment and less(segment, finish) do
    repeat
      local bounds = call('ZRANGEBYLEX', index .. segment, from, '(' .. finish, 'LIMIT', 0, STEP)
      for i = 1, #bounds do
        local raw = fetch(segment, bounds[i])
        if begun or not less(last_key(raw), start) then
          begun = true
          if not visit(raw, segment, bounds[i]) then return false end
        end
      end
      from = '(' .. (bounds[STEP] or '')
    until #bounds < STEP
    segment, from = call('ZRANGEBYLEX', root, '(' .. segment, '+', 'LIMIT', 0, 1)[1], '-'
  end
  return true
end

-- The same from the end of a range down to its start.
local function pages_down(start, finish, visit)
  local segment = call('ZREVRANGEBYLEX', root, '(' .. finish, '-', 'LIMIT', 0, 1)[1]
  if not segment and segments > 0 then segment_of(finish) end
  local begun = false
  while segment do
    local from = '(' .. finish
    repeat
      local bounds = call('ZREVRANGEBYLEX', index .. segment, from, '-', 'LIMIT', 0, STEP)
      for i = 1, #bounds do
        local raw = fetch(segment, bounds[i])
        if begun or less(first_key(raw), finish) then
          begun = true
          if less(last_key(raw), start) then return true end
          if not visit(raw) then return false end
        end
        if not less(start, bounds[i]) then return true end
      end
      from = '(' .. (bounds[STEP] or '')
    until #bounds < STEP
    segment = call('ZREVRANGEBYLEX', root, '(' .. segment, '-', 'LIMIT', 0, 1)[1]
  end
  return true
end
