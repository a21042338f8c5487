-- Makes one change: to the state and, as one entry, to the log. All of it or, with an error
-- before the first write, nothing.
-- KEYS: 1 meta, 2 log, 3 bans, 4 ended, 5 logouts, 6 holds, 7 uses, 8 forgotten.
-- ARGV: 1 epoch, 2 latest time of making it (0: any), 3 entries that the log keeps (0: no
-- entry, because it restores what others know), 4 the entry's field and 5 its value,
-- 6 operation, then its own.
-- Answers the entry's id; nothing if what is there is newer.
-- Sessions have keys of their own, built here: this is no script for a cluster.
local meta, log, bans, ended, logouts, holds, uses, forgotten = unpack(KEYS)
local restoring = ARGV[3] == '0'
local operation, name = ARGV[6], ARGV[7]

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
local kinds = { 'hash', 'stream', 'hash', 'hash', 'hash', 'zset', 'zset', 'zset' }
for place, kind in ipairs(kinds) do expect(KEYS[place], kind) end

-- Lua would write 2^53 as 9.007e+15, which Redis does not read.
local function ms(number) return string.format('%.0f', number) end

local function raise(key, at)
  if tonumber(at) > tonumber(redis.call('HGET', key, name) or '-1') then
    redis.call('HSET', key, name, at)
  end
end

-- Until when a ban holds: nil, a time, or math.huge.
local function banned_until()
  local ban = redis.call('HGET', bans, name)
  if not ban then return nil end
  local read, value = pcall(cjson.decode, ban)
  return read and type(value) == 'table' and tonumber(value['until']) or math.huge
end

local function expire(key, at)
  if at == math.huge then redis.call('PERSIST', key)
  else redis.call('PEXPIREAT', key, ms(at)) end
end

local function session_key(digest)
  return 'countersign:session:' .. string.match(name, '^[^/]*') .. '/' .. digest
end

-- Whether a session is still this identity's, and when it was bound.
local function own_session(key)
  if redis.call('TYPE', key).ok ~= 'hash' then return false end
  local is = redis.call('HMGET', key, 'name', 'bound')
  return is[1] == name, tonumber(is[2])
end

-- Sessions last as long as they say; under a ban at least as long as the ban.
local function keep_sessions()
  local index = 'countersign:sessions:' .. name
  local floor, last = banned_until() or 0, 0
  local all = redis.call('ZRANGE', index, 0, -1, 'WITHSCORES')
  for place = 1, #all, 2 do
    local over = math.max(tonumber(all[place + 1]), floor)
    if own_session(session_key(all[place])) then expire(session_key(all[place]), over) end
    last = math.max(last, over)
  end
  if last > 0 then expire(index, last) end
end

local operations = {}

function operations.ban()
  if restoring and redis.call('HEXISTS', bans, name) == 1 then return end
  expect('countersign:sessions:' .. name, 'zset')
  redis.call('HSET', bans, name, ARGV[8])
  raise(ended, ARGV[9])
  keep_sessions()
  return true
end

function operations.unban()
  expect('countersign:sessions:' .. name, 'zset')
  redis.call('HDEL', bans, name)
  keep_sessions()
  return true
end

function operations.ended() raise(ended, ARGV[8]) return true end

function operations.logout() raise(logouts, ARGV[8]) return true end

function operations.hold()
  redis.call('ZADD', holds, 'GT', ARGV[8], name)
  redis.call('ZREMRANGEBYSCORE', holds, '-inf', ms(now))
  return true
end

function operations.use()
  redis.call('ZADD', uses, ARGV[8], name)
  redis.call('ZREMRANGEBYSCORE', uses, '-inf', ms(now))
  return true
end

operations['bind'] = function()
  local digest, bound, over, most = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
  local session, index = session_key(digest), 'countersign:sessions:' .. name
  expect(session, 'hash')
  expect(index, 'zset')
  local forgot = redis.call('ZSCORE', forgotten, name)
  if forgot and tonumber(forgot) >= bound then return end
  local before = redis.call('HMGET', session, 'bound', 'ended')
  if math.max(tonumber(before[1] or '-1'), tonumber(before[2] or '-1')) > bound then return end
  redis.call('DEL', session)
  redis.call('HSET', session, 'name', name, 'bound', ARGV[9], 'binding', ARGV[12])
  if ARGV[13] ~= '' then redis.call('HSET', session, 'ended', ARGV[13]) end
  redis.call('ZADD', index, ARGV[10], digest)
  for _, oldest in ipairs(redis.call('ZRANGE', index, 0, -1 - most)) do
    redis.call('ZREM', index, oldest)
    if own_session(session_key(oldest)) then redis.call('DEL', session_key(oldest)) end
  end
  keep_sessions()
  return true
end

operations['end'] = function()
  local session = session_key(ARGV[8])
  expect(session, 'hash')
  local bound = redis.call('HGET', session, 'bound')
  if bound and tonumber(bound) <= tonumber(ARGV[9]) then
    redis.call('HSET', session, 'ended', ARGV[9])
  end
  return true
end

function operations.forget()
  local index = 'countersign:sessions:' .. name
  expect(index, 'zset')
  for _, digest in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local own, bound = own_session(session_key(digest))
    local over = own and bound <= tonumber(ARGV[8])
    if over then redis.call('DEL', session_key(digest)) end
    if over or not own then redis.call('ZREM', index, digest) end
  end
  redis.call('ZADD', forgotten, 'GT', ARGV[8], name)
  redis.call('ZREMRANGEBYSCORE', forgotten, '-inf', ms(now - 7 * 24 * 60 * 60 * 1000))
  return true
end

-- What has lapsed goes, unless it was altered since somebody saw it.
function operations.tidy()
  local key = KEYS[tonumber(ARGV[8])]
  if redis.call('HGET', key, name) == ARGV[9] then redis.call('HDEL', key, name) end
end

-- Tells the others that much was restored.
function operations.resync() return true end

-- Shows whether changes can be made at all.
function operations.probe()
  redis.call('HSET', meta, 'probed', ms(now))
end

if not operations[operation]() or restoring then return false end
local n = redis.call('HINCRBY', meta, 'entries', 1)
return redis.call('XADD', log, 'MAXLEN', '~', ARGV[3], '*', 'n', n, ARGV[4], ARGV[5])
