-- What has changed since a position. KEYS[1] the stream. ARGV: the position, how many at most.
-- Answers the first id that it has, key and version of each change, and the position to go on from.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then return { '', {}, ARGV[1] } end
if ARGV[1] == '' then return { first[1], {}, redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1] } end
local changed, position = {}, ARGV[1]
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  position = entry[1]
  for i = 2, #entry[2], 2 do changed[#changed + 1] = entry[2][i] end
end
return { first[1], changed, position }
