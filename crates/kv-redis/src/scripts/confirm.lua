-- ARGV: start, end, bytes, segment, and bounds. Confirms that these are the pages with which a
-- forward scan goes on; they are read by an `HMGET` in the same `MULTI`, because Lua would spend
-- more time on every byte of a page than Redis does on all else. The first of them is where the start
-- belongs.
local start, finish, bytes, segment, n = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], #ARGV - 6
local changed = { version, floor, '2', {} }
if segment_of(start) ~= segment or page_of(segment, start) ~= ARGV[7] then return changed end

-- One more than is expected shows whether there is more.
local first, last = ARGV[7], ARGV[6 + n]
local bounds = call('ZRANGEBYLEX', index .. segment, '(' .. first, '(' .. finish, 'LIMIT', 0, n)
for i = 1, n - 1 do
  if bounds[i] ~= ARGV[7 + i] then return changed end
end
if bounds[n] then return { version, floor, '1', ahead(segment, last, finish, bytes) } end
local following = call('ZRANGEBYLEX', root, '(' .. segment, '(' .. finish, 'LIMIT', 0, 1)[1]
return { version, floor, following and '1' or '0', {} }
