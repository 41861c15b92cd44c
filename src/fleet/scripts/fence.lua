-- Takes over the unsent usage of a lost node, once. KEYS: tg:{u<slot>}:x its copy, tg:{u<slot>}:f its fence.
-- ARGV: taker's ledger id, ms since which the node must be unseen, its last beat (ms).
local fence = redis.call('HMGET', KEYS[2], 'by', 'state')
if fence[1] and fence[1] ~= ARGV[1] and fence[2] == 'sent' then return { 'done', fence[1] } end
if fence[1] and fence[1] ~= ARGV[1] then return { 'other', fence[1] } end
if now - tonumber(ARGV[3]) < tonumber(ARGV[2]) then return { 'early' } end
if not fence[1] then
  if redis.call('EXISTS', KEYS[1]) == 0 then return { 'nothing' } end
  redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')
  redis.call('HSET', KEYS[2], 'by', ARGV[1], 'at', num(now), 'state', 'taken')
  redis.call('PERSIST', KEYS[2])
end
return { 'taken', redis.call('HGETALL', KEYS[2]) }
