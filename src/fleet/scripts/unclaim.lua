-- Gives a claim up that is still this node's and not done. KEYS[1] the claim. ARGV: slot.
if redis.call('GET', KEYS[1]) == ARGV[1] .. ' doing' then redis.call('DEL', KEYS[1]) end
return true
