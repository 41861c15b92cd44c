-- Takes back that a key was charged, if it is this charge that is known. KEYS[1] the key. ARGV: "slot micros".
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
