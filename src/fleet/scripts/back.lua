-- A node has put back all that it knows of a bucket. KEYS[1] its marker. ARGV: slot, the marker's id.
if redis.call('HGET', KEYS[1], 'i') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'd' .. ARGV[1], '1')
return 1
