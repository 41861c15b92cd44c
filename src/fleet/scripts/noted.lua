-- Notes how far a fence is, and answers to its rows. KEYS: the fence.
-- ARGV: when it was put up (another one is left alone), state, then fields with answers.
local fence = redis.call('HMGET', KEYS[1], 'at', 'state')
if fence[1] ~= ARGV[1] then return 'other' end
if ARGV[2] == 'gone' then
  if fence[2] ~= 'taken' then redis.call('DEL', KEYS[1]) end
elseif ARGV[2] == 'settled' or (ARGV[2] == 'sent' and fence[2] == 'taken') then
  redis.call('HSET', KEYS[1], 'state', ARGV[2])
  -- Its taker may be gone as well. In 41 days Stripe takes nothing any more of what is in it.
  redis.call('PEXPIRE', KEYS[1], 3542400000)
end
-- What Stripe certainly took from a taker stays so, whatever the next one hears.
for i = 3, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= 'accepted' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 'done'
