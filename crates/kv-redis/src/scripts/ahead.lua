-- What a forward scan will want next, for `confirm.lua`: the segment and bound of the last page that
-- was given, and the bounds behind it in the same segment, as many as the budget of bytes lets in.
-- Nothing where the segment ends.
local function ahead(segment, bound, finish, bytes)
  local hint, have = { segment, bound }, call('HSTRLEN', content .. segment, bound)
  local bounds = call('ZRANGEBYLEX', index .. segment, '(' .. bound, '(' .. finish, 'LIMIT', 0, 24)
  for i = 1, #bounds do
    have = have + call('HSTRLEN', content .. segment, bounds[i])
    if have > bytes then break end
    hint[i + 2] = bounds[i]
  end
  return #hint > 2 and hint or {}
end
