-- How each script begins: whether it is the database that was greeted, and in time.
-- KEYS: 1 meta. ARGV: 1 epoch, 2 latest time of making it (0: any).
-- Some keys are built from what the script is told: these are no scripts for a cluster.
local meta = KEYS[1]
if redis.call('HGET', meta, 'epoch') ~= ARGV[1] then
  return redis.error_reply('EPOCH this is another database than at the last greeting')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '0' and now > tonumber(ARGV[2]) then
  return redis.error_reply('LATE its sender has given up')
end
local function expect(key, kind)
  local is = redis.call('TYPE', key).ok
  if is ~= 'none' and is ~= kind then error('WRONGTYPE ' .. key .. ' is a ' .. is) end
end

-- Lua would write 2^53 as 9.007e+15, which Redis does not read.
local function ms(number) return string.format('%.0f', number) end
