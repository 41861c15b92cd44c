-- Fences a lost node: its copy becomes what was taken over, once. KEYS: copy, fence.
-- ARGV: the taker's ledger, then the ledgers of all lost nodes: what one of those had taken is taken from it.
local fence = redis.call('HMGET', KEYS[2], 'by', 'state')
if fence[1] and fence[2] ~= 'settled' then
  if fence[1] == ARGV[1] then return 'taken' end
  for i = 2, #ARGV do
    if fence[1] == ARGV[i] and fence[2] ~= 'sent' then
      redis.call('HSET', KEYS[2], 'by', ARGV[1], 'inherited', '1')
      return 'taken'
    end
  end
  return 'no'
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 'no' end
redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 's')
redis.call('HSET', KEYS[2], 'by', ARGV[1], 'at', num(now), 'state', 'taken')
redis.call('PERSIST', KEYS[2])
return 'taken'
