-- Changes a node's copy of its unsent usage, all at once. KEYS[1] the copy.
-- ARGV: ms to keep it, how many fields are set, each with its value, then fields that go. Answers whether there was
-- one.
local was, set = redis.call('EXISTS', KEYS[1]), tonumber(ARGV[2])
for i = 1, set do redis.call('HSET', KEYS[1], ARGV[1 + 2 * i], ARGV[2 + 2 * i]) end
for i = 3 + 2 * set, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return was
