-- Puts a customer's facts, unless they have changed since the version that these were made from. KEYS[1] the customer.
-- ARGV: that version, the least new one, expires at (ms), then pieces of at most 60 bytes.
local fields, stored, facts = redis.call('HGETALL', KEYS[1]), '0', {}
for i = 1, #fields, 2 do
  if fields[i] == 'v' then stored = fields[i + 1] end
  if string.sub(fields[i], 1, 1) == 'f' then facts[tonumber(string.sub(fields[i], 2))] = fields[i + 1] end
end
local same = table.concat(facts) == table.concat(ARGV, '', 4)
if stored ~= '0' and same then return { 'put', stored } end                            -- put before, but not answered
if stored ~= '0' and stored ~= ARGV[1] then return { 'other', stored, table.concat(facts) } end
local version, least = stamp(now), stored > ARGV[2] and stored or ARGV[2]
if version <= least then version = stamp(tonumber(least, 36) + 1) end
for i = 1, #facts do redis.call('HDEL', KEYS[1], 'f' .. i) end
for i = 4, #ARGV do redis.call('HSET', KEYS[1], 'f' .. (i - 3), ARGV[i]) end
redis.call('HSET', KEYS[1], 'v', version)
local expires = math.max(tonumber(ARGV[3]), now + 86400000, redis.call('PEXPIRETIME', KEYS[1]))
redis.call('PEXPIREAT', KEYS[1], num(expires))
redis.call('PUBLISH', 'tg:facts', KEYS[1] .. ' ' .. version)
return { 'put', version }
