-- Puts an answer to a question, which nobody may come to fetch. KEYS[1] the answers. ARGV: the answer, ms to keep them.
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return true
