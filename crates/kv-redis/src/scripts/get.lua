-- ARGV: keys, from the third on.
local reply = { version, floor }
for i = 3, #ARGV do reply[i] = find(ARGV[i]) end
return reply
