-- Puts up a fence that was lost, unless there is one. KEYS: its fields, the fence. ARGV: taker, when it was put up,
-- "1" if it was inherited.
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('COPY', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'by', ARGV[1], 'at', ARGV[2], 'state', 'taken')
  if ARGV[3] == '1' then redis.call('HSET', KEYS[2], 'inherited', '1') end
end
redis.call('DEL', KEYS[1])
return 'done'
