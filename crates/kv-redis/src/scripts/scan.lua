-- ARGV: start, end, `+` or `-`, rows, bytes. Replies with whole pages; the client cuts them.
local start, finish, rows, bytes = ARGV[3], ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
local reply, have_rows, have_bytes = { version, floor, '1' }, 0, 0

local function visit(raw)
  if have_rows > 0 and have_bytes + #raw > bytes then return false end
  if have_rows >= rows then return false end
  have_rows, have_bytes = have_rows + read('<I4', raw), have_bytes + #raw
  reply[#reply + 1] = raw
  return true
end

local walk = ARGV[5] == '+' and pages_up or pages_down
if walk(start, finish, visit) then reply[3] = '0' end
return reply
