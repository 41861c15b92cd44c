-- Writes into a node's copy, unless it is fenced. KEYS: copy, fence.
-- ARGV: the write's number, "1" if there may be no copy yet, how long it is kept (ms), how many fields are set, these
-- with their texts, then fields to remove.
local state = redis.call('HGET', KEYS[2], 'state')
if state and state ~= 'settled' then return 'fenced' end
local last = redis.call('HGET', KEYS[1], 's')
if not last and ARGV[2] ~= '1' then return 'lost' end
if last and tonumber(last) >= tonumber(ARGV[1]) then return 'overtaken' end
redis.call('HSET', KEYS[1], 's', ARGV[1])
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = at, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'done'
