-- Notes in a lost node's fence what came of its rows. KEYS: its copy, its fence.
-- ARGV: taker's ledger id, "1" when all have an answer, then fields with their values. Not in a fence that has been
-- dropped, or is another's.
if redis.call('HGET', KEYS[2], 'by') ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[2], 'state', 'sent')
  redis.call('DEL', KEYS[1])
end
return 1
