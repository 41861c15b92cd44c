-- Claims what one node alone does. KEYS[1] the claim: "slot doing" or "slot done NOTE".
-- ARGV: slot, ms to keep it, live slots with commas: what a lost node was doing is done by another.
local claim = redis.call('GET', KEYS[1])
local by, state = string.match(claim or '', '^(%w+) (%w+)')
local is_live = by and string.find(',' .. ARGV[3] .. ',', ',' .. by .. ',', 1, true)
if by and by ~= ARGV[1] and (state ~= 'doing' or is_live) then return claim end
if by and state ~= 'doing' then return claim end
redis.call('SET', KEYS[1], ARGV[1] .. ' doing', 'PX', ARGV[2])
return false
