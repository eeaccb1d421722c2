-- ARGV: the id to give a namespace that is not there, the id that it must have or nothing.
local meta = KEYS[1]
local record = redis.call('HMGET', meta, 'id', 'version', 'format')
if record[1] then
  if ARGV[2] ~= '' and record[1] ~= ARGV[2] then
    return redis.error_reply('FGOTHER the namespace was made anew')
  end
  return { record[1], record[2], record[3] or '' }
end
if ARGV[2] ~= '' then return redis.error_reply('FGLOST the record of the namespace is gone') end
if redis.call('EXISTS', meta .. ':r') == 1 then
  return redis.error_reply('FGLOST the record of the namespace is gone and its data is not')
end
local zero = string.rep('\0', 8)
redis.call('HSET', meta, 'id', ARGV[1], 'version', zero, 'floor', zero, 'segments', 0, 'format', '1')
return { ARGV[1], zero, '1' }
