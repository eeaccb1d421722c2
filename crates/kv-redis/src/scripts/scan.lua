-- ARGV: start, end, `+` or `-`, rows, bytes. Replies with whole pages; the client cuts them.
local start, finish, rows, bytes = ARGV[3], ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
local reply, have_rows, have_bytes = { version, floor, '1', {} }, 0, 0
local last_segment, last_bound

local function visit(raw, segment, bound)
  if have_rows > 0 and have_bytes + #raw > bytes then return false end
  if have_rows >= rows then return false end
  have_rows, have_bytes = have_rows + read('<I4', raw), have_bytes + #raw
  last_segment, last_bound = segment, bound
  reply[#reply + 1] = raw
  return true
end

local walk = ARGV[5] == '+' and pages_up or pages_down
if walk(start, finish, visit) then
  reply[3] = '0'
elseif last_bound and have_rows < rows then
  reply[4] = ahead(last_segment, last_bound, finish, bytes)
end
return reply
