-- ARGV: start, end, `+` or `-`, rows, bytes, prefix of the row's key, offset of the rest in the
-- entry's value or nothing for the end of its key, length of the rest.
-- Replies with key, value and row of every entry.
local start, finish, forward = ARGV[3], ARGV[4], ARGV[5] == '+'
local rows, bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
local prefix, offset, length = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local reply, have_rows, have_bytes = { version, floor, '1' }, 0, 0

local function row_of(key, value)
  local from = offset or #key - length
  local whole = offset and value or key
  if from < 0 or from + length > #whole then return false end
  return find(prefix .. sub(whole, from + 1, from + length))
end

local function take(key, value)
  if have_rows >= rows or have_bytes >= bytes then return false end
  have_rows, have_bytes = have_rows + 1, have_bytes + #key + #value
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = key, value, row_of(key, value)
  return true
end

local function visit(raw)
  local keys, values, at, size = {}, {}, HEADER + 1, #raw
  while at <= size do
    local key_length, value_length, body = read('<I2I4', raw, at)
    local key = sub(raw, body, body + key_length - 1)
    at = body + key_length + value_length
    if not less(key, start) then
      if not less(key, finish) then break end
      keys[#keys + 1], values[#keys + 1] = key, sub(raw, body + key_length, at - 1)
    end
  end
  for i = 1, #keys do
    local n = forward and i or #keys + 1 - i
    if not take(keys[n], values[n]) then return false end
  end
  return true
end

-- A single key need not be looked for among its neighbours.
if finish == start .. '\0' then
  local value = find(start)
  if value then take(start, value) end
  reply[3] = '0'
  return reply
end
local walk = forward and pages_up or pages_down
if walk(start, finish, visit) then reply[3] = '0' end
return reply
