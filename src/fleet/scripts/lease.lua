-- Settles what one node holds of its customers' limits. One bucket: KEYS[1] its marker, the others customers.
-- ARGV: slot, live slots with commas, marker id and count of the last answer seen, ms that lend nothing, ms after
-- which absent nodes are not waited for; then one text for each customer.
local slot, live = ARGV[1], ARGV[2]
local marker = redis.call('HMGET', KEYS[1], 'i', 'b', 'c', 'l', 's' .. slot, 'r')
-- The server's process; none where this user may not ask for it.
local info = redis.pcall('INFO', 'server')
local process = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
-- The life that an id begins, in us; that which was last seen.
local function life(id) return tonumber(string.sub(id, 1, -5)) or 0 end
local seen = life(ARGV[3])
-- An older copy of the data has come back, or may have: of an earlier life, or without some call of this very node, or
-- with another server, a replica perhaps, which need not have had the last writes of any of them. How far the others
-- have come meanwhile says nothing of that.
local is_old = marker[1] and (life(marker[1]) < seen or (process and marker[6] and marker[6] ~= process)
  or (marker[1] == ARGV[3] and (tonumber(marker[5]) or 0) < tonumber(ARGV[4])))
if not marker[1] or is_old then
  local id = num(math.max(time[1] * 1000000 + time[2], seen + 1)) .. slot
  marker = { id, now, 0, (marker[1] or ARGV[3] ~= '-') and '1' or '0' }                         -- lost, or the first
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'i', marker[1], 'b', num(now), 'l', marker[4])
  redis.call('PUBLISH', 'tg:lost', KEYS[1])
elseif seen > 0 and marker[1] ~= ARGV[3] and marker[4] == '0' then       -- to whoever came first it was the first
  marker[4] = '1'
  redis.call('HSET', KEYS[1], 'l', '1')
end
local count = redis.call('HINCRBY', KEYS[1], 'c', 1)
redis.call('HSET', KEYS[1], 's' .. slot, count)
if process and marker[6] ~= process then redis.call('HSET', KEYS[1], 'r', process) end
redis.call('PEXPIRE', KEYS[1], 7776000000)
local age = now - tonumber(marker[2])
local lends, others_live, nodes = age >= tonumber(ARGV[5]), {}, 0
for s in string.gmatch(live, '[^,]+') do
  nodes = nodes + 1
  others_live[s] = true
  if age < tonumber(ARGV[6]) and redis.call('HEXISTS', KEYS[1], 'd' .. s) == 0 then lends = false end
end

-- seq, tag of the terms, then triples: pool, held, used; for a rate: pool, tokens held, until
local function entry(text)
  local parts, pools = split(text, ','), {}
  for i = 3, #parts, 3 do pools[parts[i]] = { tonumber(parts[i + 1]), tonumber(parts[i + 2]) } end
  return { seq = parts[1], tag = parts[2], pools = pools }
end

-- Of the window that a pool is of, whose start in minutes its last four digits are; nil for a grant and a rate.
local function minutes_since(id)
  local kind = string.sub(id, 1, 1)
  if kind == '#' or kind == 'r' then return nil end
  return (math.floor(now / 60000) - (tonumber(string.sub(id, -4), 36) or 0)) % 1679616
end

local function settle(key, text)
  local lines = split(text, ';')
  local head = split(lines[1], ' ')                       -- seq, version, expires at (ms), wants the others' entries
  local seq, version, expires, wants = head[1], head[2], tonumber(head[3]), head[4] == '1'
  local stored, others, facts, fields = '0', {}, {}, redis.call('HGETALL', key)
  local mine, rates = nil, {}
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local kind = string.sub(name, 1, 1)
    if name == 'v' then stored = value
    elseif name == 'n' .. slot then mine = entry(value)
    elseif kind == 'n' then others[string.sub(name, 2)] = entry(value)
    elseif kind == 'q' then rates[string.sub(name, 2)] = tonumber(value)
    elseif kind == 'f' then facts[tonumber(string.sub(name, 2))] = value end
  end
  if mine and mine.seq >= seq then return { 'old', stored } end
  if stored > version then return { 'behind', stored, table.concat(facts, '', 1) } end
  local tag = string.sub(version, -3)
  local asks, named = {}, {}
  for i = 2, #lines do
    local ask = split(lines[i], ' ')
    if ask[1] == 'x' then named[ask[2]] = true             -- x POOL: its window has ended, forget it
    elseif ask[1] == 'o' then                              -- o SLOT ENTRY: what was last seen of another node
      local seen = entry(ask[3])
      if ask[2] ~= slot and (not others[ask[2]] or others[ask[2]].seq < seen.seq) then
        others[ask[2]] = seen
        redis.call('HSET', key, 'n' .. ask[2], ask[3])
      end
    else
      asks[#asks + 1] = ask
      named[ask[1]] = true
    end
  end
  local waits = false
  for s, other in pairs(others) do
    if other.tag ~= tag and others_live[s] then            -- it may admit more as the terms were before
      for id, pool in pairs(other.pools) do
        if string.sub(id, 1, 1) == 'r' then waits = waits or (pool[1] > 0 and pool[2] > now)
        else waits = waits or pool[1] > pool[2] end
      end
    end
  end
  local may = lends and not waits
  local kept, answers, recalled, excess, loose = { seq, tag }, {}, false, 0, 0
  for _, ask in ipairs(asks) do
    local id = ask[1]
    if string.sub(id, 1, 1) == 'r' then                    -- id left want least interval_us burst lease_ms
      local left, want, least = tonumber(ask[2]), tonumber(ask[3]), tonumber(ask[4])
      local interval, burst = tonumber(ask[5]), tonumber(ask[6])
      local at = now * 1000
      -- When all would be back, in us: an instant, so that nothing is rounded off however often it is asked. What was
      -- lent by a Redis that was lost may be spent until it has ended.
      local full = rates[id] or at
      if not rates[id] and marker[4] == '1' then
        full = (tonumber(marker[2]) + tonumber(ask[7])) * 1000 + burst * interval
      end
      local lent, held, sum = {}, 0, 0
      for _, other in pairs(others) do
        local pool = other.pools[id]
        if pool then lent[#lent + 1] = pool end
        if pool and pool[2] > now then held = held + pool[1] end
      end
      if mine and mine.pools[id] then lent[#lent + 1] = mine.pools[id] end
      -- Nothing is earned back of what has not been spent: that may have been at the last moment.
      table.sort(lent, function(a, b) return a[2] > b[2] end)
      for _, pool in ipairs(lent) do
        sum = sum + pool[1]
        full = math.max(full, math.min(pool[2], now) * 1000 + sum * interval)
      end
      if want < left then full, left = full - (left - want) * interval, want end
      full = math.max(full, at + (held + left) * interval)
      local level = burst - (full - at) / interval
      local most = math.max(least - left, math.floor(level / (2 * nodes)))
      local more = 0
      if may then more = math.max(0, math.min(want - left, most, math.floor(level))) end
      full, level, left = math.ceil(full + more * interval), level - more, left + more
      local wait = 0
      if left < least then
        wait = math.ceil((least - left - level) * interval / 1000)
        recalled = recalled or waits
      end
      if full <= at then redis.call('HDEL', key, 'q' .. id)
      else redis.call('HSET', key, 'q' .. id, num(full)) end
      if left > 0 then
        kept[#kept + 1] = id
        kept[#kept + 1] = num(left)
        kept[#kept + 1] = num(now + tonumber(ask[7]))
      end
      -- 0 first: there is a -0, which is no number elsewhere.
      local free = math.max(0, math.floor(level))
      answers[#answers + 1] = table.concat({ id, num(left), num(more), num(free), num(math.max(0, wait)) }, ' ')
    else                                                   -- id used keep least want limit price
      local used, keep, least, want = tonumber(ask[2]), tonumber(ask[3]), tonumber(ask[4]), tonumber(ask[5])
      local limit, price = tonumber(ask[6]), tonumber(ask[7])
      local held, spent = 0, used
      for _, other in pairs(others) do
        local pool = other.pools[id]
        if pool then held, spent = held + math.max(pool[1], pool[2]), spent + pool[2] end
      end
      local unused = held + used - spent
      local is_cap = string.sub(id, 1, 1) == '$'
      if is_cap then limit = math.max(0, limit - excess) end
      local free = math.max(0, limit - held - keep)
      local now_held = keep
      if may and want > keep then
        now_held = keep + math.min(free, want - keep, math.max(least - keep, math.floor(free / (2 * nodes))))
      end
      local beyond = math.max(0, held + now_held - limit)
      excess, loose = excess + beyond * price, loose + math.min(beyond, unused) * price
      if is_cap then unused = unused + loose end
      if now_held < least and (waits or unused > 0) then recalled = true end
      if now_held > 0 or used > 0 then
        kept[#kept + 1] = id
        kept[#kept + 1] = num(now_held)
        kept[#kept + 1] = num(used)
      end
      answers[#answers + 1] = table.concat({ id, num(now_held), num(spent), num(math.max(0, limit - held - now_held)),
        num(unused) }, ' ')
    end
  end
  for id, pool in pairs(mine and mine.pools or {}) do     -- not named: what was used stays used
    local since = minutes_since(id)
    local is_old = since and since >= 532800              -- 370 days
    if not named[id] and pool[2] > 0 and string.sub(id, 1, 1) ~= 'r' and not is_old then
      kept[#kept + 1] = id
      kept[#kept + 1] = num(pool[2])
      kept[#kept + 1] = num(pool[2])
    end
  end
  redis.call('HSET', key, 'n' .. slot, table.concat(kept, ','))
  redis.call('PEXPIREAT', key, num(math.max(expires, now + 86400000, redis.call('PEXPIRETIME', key))))
  if recalled then redis.call('PUBLISH', 'tg:recall', slot .. ' ' .. key) end
  local seen = {}
  if wants then
    for s, other in pairs(others) do seen[#seen + 1] = s .. ' ' .. redis.call('HGET', key, 'n' .. s) end
  end
  local state = may and 'ok' or (lends and 'waits' or 'rests')
  return { state, stored, table.concat(answers, ';'), seen }
end

local done = redis.call('HEXISTS', KEYS[1], 'd' .. slot)
local answer = { marker[1], num(count), num(now), done }
for i = 2, #KEYS do
  -- What one customer's key holds that cannot be read is no reason to answer nobody.
  local is_settled, settled = pcall(settle, KEYS[i], ARGV[i + 5])
  if not is_settled then
    settled = { 'fails', '0', type(settled) == 'table' and settled.err or tostring(settled) }
  end
  answer[#answer + 1] = settled
end
return answer
