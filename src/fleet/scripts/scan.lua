-- Versions of facts, some at a time. KEYS[1] a bucket's marker: it names the server. ARGV: cursor, pattern, how many to
-- look at. Answers the next cursor, then keys and versions.
local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local facts = {}
for _, key in ipairs(found[2]) do
  local version = redis.pcall('HGET', key, 'v')       -- a key that is no hash has none
  if type(version) == 'string' then
    facts[#facts + 1] = key
    facts[#facts + 1] = version
  end
end
return { found[1], facts }
