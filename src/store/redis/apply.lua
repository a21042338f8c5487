-- Makes one change: to the state and, as one entry, to the log. All of it or, with an error
-- before the first write, nothing. `visits.lua` has further changes, `tell.lua` makes one.
-- KEYS: 1 meta, 2 log, 3 bans, 4 ended, 5 logouts, 6 holds, 7 uses, 8 forgotten, 9 visitors,
-- 10 subscriptions, 11 confirmations.
-- ARGV: 3 entries that the log keeps (0: no entry, because it restores what others know),
-- 4 the entry's field and 5 its value, 6 operation, then its own.
-- Answers the entry's id; nothing if what is there is newer.
local _, log, bans, ended, logouts, holds, uses, forgotten = unpack(KEYS)
local visitors, subscriptions, confirmations = unpack(KEYS, 9)
local restoring = ARGV[3] == '0'
local operation, name = ARGV[6], ARGV[7]
-- The subscription of a delivery for which there was no room.
local dropped
-- Defined in `visits.lua`.
local forget_visits

local kinds = {
  'hash', 'stream', 'hash', 'hash', 'hash', 'zset', 'zset', 'zset', 'zset', 'hash', 'hash',
}
for place, kind in ipairs(kinds) do expect(KEYS[place], kind) end

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

-- The sessions of an identity: those that stand for it, and those that made room, which only
-- say whose they were. Both by when they were bound.
local index, evicted = 'countersign:sessions:' .. name, 'countersign:evicted:' .. name
-- Most of the latter; beyond, the oldest is forgotten.
local most_evicted = 4096

local function expect_sessions()
  expect(index, 'zset')
  expect(evicted, 'zset')
end

-- Whether a session is still this identity's, when it was bound and until when it lasts.
local function own_session(key)
  if redis.call('TYPE', key).ok ~= 'hash' then return false end
  local is = redis.call('HMGET', key, 'name', 'bound', 'until')
  return is[1] == name, tonumber(is[2] or '0'), tonumber(is[3] or '0')
end

-- Sessions last as long as they say; under a ban at least as long as the ban.
local function keep_sessions()
  local floor = banned_until() or 0
  for _, list in ipairs({ index, evicted }) do
    local last = 0
    for _, digest in ipairs(redis.call('ZRANGE', list, 0, -1)) do
      local own, _, over = own_session(session_key(digest))
      if own then
        over = math.max(over, floor)
        expire(session_key(digest), over)
        last = math.max(last, over)
      else
        redis.call('ZREM', list, digest)
      end
    end
    if last > 0 then expire(list, last) end
  end
end

-- Adds a session to a list, which lasts as long as the last of them.
local function enlist(list, digest, bound, over)
  local left = redis.call('PTTL', list)
  redis.call('ZADD', list, bound, digest)
  if left ~= -1 and (left == -2 or now + left < over) then expire(list, over) end
end

-- Has a session make room: what is left says whose it was.
local function evict(digest)
  local key = session_key(digest)
  redis.call('ZREM', index, digest)
  local own, bound, over = own_session(key)
  if not own then return end
  local left = redis.call('HGET', key, 'left')
  if not left then return redis.call('DEL', key) end
  redis.call('HSET', key, 'binding', left, 'evicted', '1')
  redis.call('HDEL', key, 'left')
  enlist(evicted, digest, ms(bound), math.max(over, banned_until() or 0))
  for _, oldest in ipairs(redis.call('ZRANGE', evicted, 0, -1 - most_evicted)) do
    redis.call('ZREM', evicted, oldest)
    if own_session(session_key(oldest)) then redis.call('DEL', session_key(oldest)) end
  end
end

local operations = {}

function operations.ban()
  if restoring and redis.call('HEXISTS', bans, name) == 1 then return end
  expect_sessions()
  redis.call('HSET', bans, name, ARGV[8])
  raise(ended, ARGV[9])
  keep_sessions()
  return true
end

function operations.unban()
  expect_sessions()
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

-- Whether what a session is bound to stays: it is newer; or another identity's, not over
-- and has not made room. As `Binding::yields_to` says.
local function stays(session, bound, made_room)
  local is = redis.call('HMGET', session, 'name', 'bound', 'ended', 'until', 'evicted')
  if not is[1] then return false end
  local had_made_room = is[5] == '1'
  if math.max(tonumber(is[2] or '-1'), tonumber(is[3] or '-1')) > bound then return true end
  if had_made_room and not made_room and tonumber(is[2]) == bound then return true end
  return is[1] ~= name and tonumber(is[4] or '0') > bound and not (had_made_room and not is[3])
end

operations['bind'] = function()
  local digest, bound, over, most = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
  -- What is left of it once it makes room; nothing if it has.
  local left = ARGV[14]
  local made_room = left == ''
  local session = session_key(digest)
  expect(session, 'hash')
  expect_sessions()
  local forgot = redis.call('ZSCORE', forgotten, name)
  if forgot and tonumber(forgot) >= bound and not made_room then return end
  if stays(session, bound, made_room) then return end
  redis.call('DEL', session)
  redis.call('HSET', session, 'name', name, 'bound', ARGV[9], 'until', ARGV[10], 'binding', ARGV[12])
  if ARGV[13] ~= '' then redis.call('HSET', session, 'ended', ARGV[13]) end
  local last = math.max(over, banned_until() or 0)
  if made_room then
    redis.call('HSET', session, 'evicted', '1')
    redis.call('ZREM', index, digest)
    enlist(evicted, digest, ARGV[9], last)
  else
    redis.call('HSET', session, 'left', left)
    redis.call('ZREM', evicted, digest)
    enlist(index, digest, ARGV[9], last)
  end
  expire(session, last)
  -- The oldest, but not this one.
  local too_many = redis.call('ZCARD', index) - most
  for _, oldest in ipairs(too_many > 0 and redis.call('ZRANGE', index, 0, too_many) or {}) do
    if oldest ~= digest and too_many > 0 then
      evict(oldest)
      too_many = too_many - 1
    end
  end
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
  expect_sessions()
  forget_visits(tonumber(ARGV[8]))
  for _, digest in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local own, bound = own_session(session_key(digest))
    if not own or bound <= tonumber(ARGV[8]) then evict(digest) end
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
