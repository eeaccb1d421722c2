-- ARGV: id of the batch, stream of deferred batches or nothing, how many of them must have been
-- applied or nothing, how many have been after this one or nothing, what it reads, what it writes,
-- bytes of a page, pages of a segment; then, of a batch that only puts, pages of entries in order, made
-- by the client, instead of writes.
--
-- Everything that can be wrong is found before the first write, because a script is not rolled
-- back: reads come first, then writes change pages in memory, and only then pages are stored.
local id, queue, before, after = ARGV[3], meta .. ':d:' .. ARGV[4], ARGV[5], ARGV[6]
local reads, writes = ARGV[7], ARGV[8]
local PAGE, SPAN = tonumber(ARGV[9]), tonumber(ARGV[10])
local CHECK, CHECK_RANGE, FETCH = 1, 2, 3
local PUT, PUT_STAMPED, DELETE, CLEAR, ADD, STORE, RAISE = 4, 5, 6, 7, 8, 9, 10

local found = marked(id)
if found == '' then return { version, floor, 'fenced' } end
if found then return { version, floor, 'done', found } end
if before ~= '' and (call('GET', queue) or '0') ~= before then
  return { version, floor, 'broken' }
end

local stamp = pack('>I4I4', math.floor(moment / 4294967296), moment % 4294967296)

-- Reads ------------------------------------------------------------------------------------------

local function passes(value, newest)
  if #value < 8 then corrupt('a value that is checked has no stamp') end
  return not newer(value, newest)
end

-- A page may hold keys beside the range, which need not have stamps; they are rare, so that keys
-- are looked at only where a value would not pass.
local function range_passes(start, finish, newest)
  return pages_up(start, finish, function(raw)
    local at, size = HEADER + 1, #raw
    while at <= size do
      local key_length, value_length, body = read('<I2I4', raw, at)
      local value = body + key_length
      at = value + value_length
      if value_length < 8 or newer(sub(raw, value, value + 7), newest) then
        local key = sub(raw, body, value - 1)
        if not less(key, start) and less(key, finish) then
          return passes(sub(raw, value, at - 1), newest)
        end
      end
    end
    return true
  end)
end

local archived, taken = {}, 0
do
  local at, size, n = 1, #reads, 0
  -- What is checked is mostly archived next.
  local asked, answer
  local function find_again(key)
    if key ~= asked then asked, answer = key, find(key) end
    return answer
  end
  while at <= size do
    local tag, a, b, body = read('<BI2I4', reads, at)
    local key, rest = sub(reads, body, body + a - 1), sub(reads, body + a, body + a + b - 1)
    at, n = body + a + b, n + 1
    if tag == CHECK then
      local value = find_again(key)
      if value and not passes(value, rest) then return { version, floor, 'conflict', n } end
    elseif tag == CHECK_RANGE then
      local finish = sub(rest, 9)
      if less(key, finish) and not range_passes(key, finish, sub(rest, 1, 8)) then
        return { version, floor, 'conflict', n }
      end
    else
      local value = find_again(key)
      if value and #value < 8 then corrupt('a value that is archived has no stamp') end
      archived[#archived + 1] = value and sub(value, 9)
    end
  end
end

-- Pages in memory --------------------------------------------------------------------------------

-- A page: its segment and bound; its `keys` in order; `added` keys, `sorted` if they came in order, and
-- `ordered` if each came behind all that were there; and the record of every key, false where it was
-- removed.
local pages, touched, gone, vanished = {}, {}, {}, {}
-- The page that was used last for old versions, and for everything else: a batch goes to a key and to its
-- history in turn, to each in order.
local current, PLAIN, HISTORY = {}, 1, 2

local function adopt(segment, bound, fresh)
  local page = {
    segment = segment, bound = bound, fresh = fresh, keys = {}, records = {}, added = {},
    ordered = true, sorted = true,
  }
  pages[bound] = page
  touched[#touched + 1] = page
  return page
end

local function load(segment, bound)
  if pages[bound] then return pages[bound] end
  local raw = fetch(segment, bound)
  local page = adopt(segment, bound, false)
  local keys, records, at, size, n = page.keys, page.records, HEADER + 1, #raw, 0
  while at <= size do
    local key_length, value_length, body = read('<I2I4', raw, at)
    local key, following = sub(raw, body, body + key_length - 1), body + key_length + value_length
    n = n + 1
    keys[n], records[key] = key, sub(raw, at, following - 1)
    at = following
  end
  page.last = keys[n]
  return page
end

local function covers(page, key)
  if page.last and less(key, page.last) and less(key, page.bound) then return false end
  if not page.last and less(key, page.bound) then return false end
  if page.upper == nil then page.upper = bound_behind(page.segment, page.bound) end
  return not page.upper or less(key, page.upper)
end

-- The page that a key belongs to. One that is not there yet begins where its segment begins, so
-- that no key changes its page.
local function page_for(key, kind)
  local page = current[kind]
  if page and (page.records[key] ~= nil or covers(page, key)) then return page end
  local segment = segment_of(key)
  local bound = segment and not gone[segment] and page_of(segment, key)
  if bound then
    page = load(segment, bound)
  else
    segment = segment or ''
    page = pages[segment] or adopt(segment, segment, true)
  end
  current[kind] = page
  return page
end

local grows = false

local function set(key, record, kind)
  grows = true
  local page = page_for(key, kind or PLAIN)
  if page.records[key] == nil then
    local added = page.added
    local n = #added
    if page.last and less(key, page.last) then
      page.ordered = false
      if n > 0 and page.sorted and less(key, added[n]) then page.sorted = false end
    else
      page.last = key
    end
    added[n + 1] = key
  end
  page.records[key], page.dirty = record, true
end

local function remove(key)
  local page = page_for(key, PLAIN)
  if page.records[key] then page.records[key], page.dirty = false, true end
end

local function add(key, delta)
  local record = page_for(key, PLAIN).records[key]
  local low, high = read('<I4I4', delta)
  if record then
    if #record ~= 6 + #key + 8 then corrupt('what is added to is no counter') end
    local old_low, old_high = read('<I4I4', record, 7 + #key)
    low, high = low + old_low, high + old_high
  end
  high = (high + math.floor(low / 4294967296)) % 4294967296
  set(key, pack('<I2I4', #key, 8) .. key .. pack('<I4I4', low % 4294967296, high))
end

local function wipe(page, start, finish)
  local function drop(keys)
    for i = 1, #keys do
      local key = keys[i]
      if page.records[key] and not less(key, start) and less(key, finish) then
        page.records[key], page.dirty = false, true
      end
    end
  end
  drop(page.keys)
  drop(page.added)
end

-- Forgets a page of which nothing is left.
local function discard(page)
  page.dropped = true
  pages[page.bound] = nil
end

local function vanish(segment)
  gone[segment] = true
  vanished[#vanished + 1] = segment
  for i = 1, #touched do
    if touched[i].segment == segment and not touched[i].dropped then discard(touched[i]) end
  end
end

-- Empties the pages of a segment, without reading those that are emptied whole.
local function clear_pages(segment, following, start, finish)
  local from = page_of(segment, start)
  local bounds = call('ZRANGEBYLEX', index .. segment, from and '[' .. from or '-', '(' .. finish)
  for i = 1, #bounds do
    local bound, upper = bounds[i], bounds[i + 1]
    if not upper then
      upper = call('ZRANGEBYLEX', index .. segment, '(' .. bound, '+', 'LIMIT', 0, 1)[1] or following
    end
    if upper and not less(bound, start) and not less(finish, upper) then
      if pages[bound] then discard(pages[bound]) end
      adopt(segment, bound, false).dirty = true
    else
      wipe(load(segment, bound), start, finish)
    end
  end
end

local function clear(start, finish)
  if not less(start, finish) then return end
  local segment = segment_of(start) or call('ZRANGE', root, 0, 0)[1]
  while segment and less(segment, finish) do
    local following = call('ZRANGEBYLEX', root, '(' .. segment, '+', 'LIMIT', 0, 1)[1]
    if not gone[segment] then
      if following and not less(segment, start) and not less(finish, following) then
        vanish(segment)
      else
        clear_pages(segment, following, start, finish)
      end
    end
    segment = following
  end
  for i = 1, #touched do
    if touched[i].fresh and not touched[i].dropped then wipe(touched[i], start, finish) end
  end
  current = {}
end

do
  local at, size = 1, #writes
  while at <= size do
    local tag, a, b, body = read('<BI2I4', writes, at)
    local value = body + a
    local key, following = sub(writes, body, value - 1), value + b
    if tag == PUT then
      set(key, sub(writes, at + 1, following - 1))
    elseif tag == PUT_STAMPED then
      set(key, sub(writes, at + 1, value - 1) .. stamp .. sub(writes, value + 8, following - 1))
    elseif tag == DELETE then
      remove(key)
    elseif tag == CLEAR then
      clear(key, sub(writes, value, following - 1))
    elseif tag == ADD then
      add(key, sub(writes, value, following - 1))
    elseif tag == STORE then
      taken = taken + 1
      local old = archived[taken]
      if old then set(key, pack('<I2I4', #key, #old) .. key .. old, HISTORY) end
    elseif tag == RAISE and newer(key, floor) then
      floor = key
    end
    at = following
  end
end

-- Pages that came whole -------------------------------------------------------------------------

-- Those that lie between a stored page and the one behind it are stored as they came, which spares Lua
-- their entries. All behind one page or none: what is put one by one looks at stored pages only.
local whole = {}
do
  local places, place = {}, nil

  -- The stored page that a key belongs to, the end of its entries, and the bound behind it.
  local function place_of(key)
    local segment = segment_of(key)
    local bound = segment and page_of(segment, key)
    if not bound then return { fits = false } end
    if not places[bound] then
      local found = { segment = segment, bound = bound, fits = true }
      found.upper = bound_behind(segment, bound)
      found.last = last_key(fetch(segment, bound))
      places[bound] = found
    end
    return places[bound]
  end

  local of = {}
  for i = 11, #ARGV do
    local raw = ARGV[i]
    local first = first_key(raw)
    if not place or not place.bound or (place.upper and not less(first, place.upper)) then
      place = place_of(first)
    end
    if place.fits then
      place.fits = less(place.last, first) and not (place.upper and not less(last_key(raw), place.upper))
    end
    of[i] = place
  end
  for i = 11, #ARGV do
    local raw = ARGV[i]
    if of[i].fits then
      whole[#whole + 1] = { place = of[i], raw = raw }
      grows = true
    else
      local at, size = HEADER + 1, #raw
      while at <= size do
        local key_length, value_length, body = read('<I2I4', raw, at)
        local following = body + key_length + value_length
        set(sub(raw, body, body + key_length - 1), sub(raw, at, following - 1))
        at = following
      end
    end
  end
end

-- Pages to the store -----------------------------------------------------------------------------

local counts, crowded = {}, {}

-- The number of a segment's pages. It is told of a change before the change is made.
local function count(segment, change)
  counts[segment] = (counts[segment] or call('ZCARD', index .. segment)) + change
  return counts[segment]
end

-- The keys of a page that have records, in order.
local function merged(page)
  local keys, added, records, all = page.keys, page.added, page.records, {}
  if not page.sorted then table.sort(added, less) end
  local i, n = 1, 0
  for j = 1, #added do
    local key = added[j]
    if records[key] then
      while keys[i] and less(keys[i], key) do
        if records[keys[i]] then n = n + 1; all[n] = keys[i] end
        i = i + 1
      end
      n = n + 1; all[n] = key
    end
  end
  for k = i, #keys do
    if records[keys[k]] then n = n + 1; all[n] = keys[k] end
  end
  return all
end

local function store_raw(segment, bound, data)
  if call('HSET', content .. segment, bound, data) == 1 then
    if count(segment, 1) == 1 then call('ZADD', root, 0, segment) end
    call('ZADD', index .. segment, 0, bound)
    if counts[segment] > SPAN then crowded[segment] = true end
  end
end

local function store(segment, bound, records, from, to)
  local at = HEADER + 1
  for i = from, to - 1 do at = at + #records[i] end
  store_raw(segment, bound, pack('<I4I4', to - from + 1, at) .. concat(records, '', from, to))
end

-- A full segment that grows at its end is left full.
local function segment_for(segment, bound)
  if count(segment, 0) < SPAN then return segment end
  local behind = call('ZRANGEBYLEX', index .. segment, '(' .. bound, '+', 'LIMIT', 0, 1)[1]
  return behind and segment or bound
end

local function drop_page(page)
  if page.fresh then return end
  if count(page.segment, -1) == 0 then call('ZREM', root, page.segment) end
  call('HDEL', content .. page.segment, page.bound)
  call('ZREM', index .. page.segment, page.bound)
end

-- Pages are left full where rows were appended; others are divided evenly, with room to grow.
local function write(page)
  local keys, records, total = merged(page), {}, 0
  if #keys == 0 then return drop_page(page) end
  for i = 1, #keys do
    records[i] = page.records[keys[i]]
    total = total + #records[i]
  end
  local appended = page.ordered and #page.added > 0
  local fill = appended and PAGE or total / math.ceil(total / (PAGE * 0.75))
  local segment, bound, from, size = page.segment, page.bound, 1, 0
  for i = 1, #keys do
    local length = #records[i]
    if size > 0 and total > PAGE and (size + length > PAGE or (not appended and size >= fill)) then
      store(segment, bound, records, from, i - 1)
      bound, from, size = keys[i], i, 0
      segment = segment_for(segment, bound)
    end
    size = size + length
  end
  store(segment, bound, records, from, #keys)
end

-- Moves all but the first half of a segment's pages to new segments.
local function split(segment)
  local bounds, half = call('ZRANGE', index .. segment, 0, -1), math.ceil(SPAN / 2)
  if #bounds <= SPAN then return end
  local target
  for i = half + 1, #bounds do
    local bound = bounds[i]
    if (i - 1) % half == 0 then
      target = bound
      call('ZADD', root, 0, target)
    end
    call('HSET', content .. target, bound, fetch(segment, bound))
    call('ZADD', index .. target, 0, bound)
    call('HDEL', content .. segment, bound)
    call('ZREM', index .. segment, bound)
  end
end

-- Redis without memory refuses what may need more, unless a script has written before: this lets
-- through what makes room.
if not grows then call('HDEL', meta, '') end
for i = 1, #vanished do
  call('UNLINK', index .. vanished[i], content .. vanished[i])
  call('ZREM', root, vanished[i])
end
for i = 1, #touched do
  if touched[i].dirty and not touched[i].dropped then write(touched[i]) end
end
for i = 1, #whole do
  local place, raw = whole[i].place, whole[i].raw
  local bound = first_key(raw)
  place.segment = segment_for(place.segment, bound)
  store_raw(place.segment, bound, raw)
end
for segment in pairs(crowded) do split(segment) end
mark(id, stamp)
if after ~= '' then call('SET', queue, after, 'EX', 3600) end
call('HSET', meta, 'version', stamp, 'floor', floor, 'segments', call('ZCARD', root))
return { stamp, floor, 'done', stamp }
