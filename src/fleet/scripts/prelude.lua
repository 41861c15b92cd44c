-- Before every script.
local DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'
-- Eight digits: such texts compare as the numbers do.
local function stamp(n)
  local text = ''
  for _ = 1, 8 do
    local d = n % 36
    text = string.sub(DIGITS, d + 1, d + 1) .. text
    n = (n - d) / 36
  end
  return text
end
local function num(n) return string.format('%.0f', n) end
local function split(text, by)
  local parts = {}
  for part in string.gmatch(text or '', '[^' .. by .. ']+') do parts[#parts + 1] = part end
  return parts
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
