-- Joins, beats or leaves. KEYS[1] tg:nodes: name -> slot,ledger,process,seen,version,state. A slot is four digits of
-- the ledger id's hash: nobody gives it, so nothing is confused when this key is lost. ARGV: what, name, slot, ledger
-- id, process id (random), protocol version, ms after which a node counts as gone, "1" to replace an earlier process
-- on the same ledger, whose heart has been seen to stand still, ms after which it is forgotten.
local what, name, slot, ledger, process, gone = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[7])
local fields, mine = redis.call('HGETALL', KEYS[1]), nil
for i = 1, #fields, 2 do
  local node = split(fields[i + 1], ',')
  local alive = node[6] ~= 'left' and now - node[4] < gone
  if what == 'join' and alive and fields[i] ~= name and node[5] ~= ARGV[6] then return { 'protocol', fields[i] } end
  if fields[i] == name then mine = node
  elseif node[1] == slot and node[2] ~= ledger then return { 'clash', fields[i] }
  elseif node[2] == ledger and alive then return { 'ledger', fields[i] }
  elseif node[2] == ledger or now - node[4] > tonumber(ARGV[9]) then       -- it goes by another name now, or none
    redis.call('HDEL', KEYS[1], fields[i])
  end
  if fields[i] == name and what == 'join' and node[3] ~= process and alive then
    if node[2] ~= ledger then return { 'alive', node[4] } end
    if ARGV[8] ~= '1' then return { 'look', node[4] } end
  end
end
if what ~= 'join' and (not mine or mine[3] ~= process) then return { mine and 'replaced' or 'unknown' } end
if mine and mine[2] ~= ledger then redis.call('HSET', KEYS[1], name .. '#' .. mine[1], table.concat(mine, ',')) end
local state = what == 'leave' and 'left' or 'here'
redis.call('HSET', KEYS[1], name, table.concat({ slot, ledger, process, num(now), ARGV[6], state }, ','))
if what ~= 'leave' then redis.call('PUBLISH', 'tg:beat', slot .. ' ' .. process) end
return { 'ok', num(time[1] * 1000000 + time[2]), redis.call('HGETALL', KEYS[1]) }
