-- A customer's facts with their version. KEYS[1] the customer.
local fields, version, facts = redis.call('HGETALL', KEYS[1]), nil, {}
for i = 1, #fields, 2 do
  if fields[i] == 'v' then version = fields[i + 1] end
  if string.sub(fields[i], 1, 1) == 'f' then facts[tonumber(string.sub(fields[i], 2))] = fields[i + 1] end
end
return version and { version, table.concat(facts) } or false
