-- Chats that have begun, what was said of visitors, and who is to hear of it.

-- One visitor has at most so many chats that are known.
local most_chats = 1000
-- What is known of a visitor, and his chats by when they are over.
local visitor, chats = 'countersign:visitor:' .. name, 'countersign:chats:' .. name
local site = string.match(name, '^[^/]*')

local function chat_key(session) return 'countersign:chat:' .. site .. '/' .. session end

-- The boxes of deliveries, which are told from there on: webhook, id, kind, what it says.
local function expect_deliveries(first)
  local found = {}
  for place = first, #ARGV, 4 do
    local box = box_of(site .. '/' .. ARGV[place])
    expect_box(box)
    table.insert(found, box)
  end
  return found
end

local function put_deliveries(found, first, at, progress)
  for number, box in ipairs(found) do
    local place = first + (number - 1) * 4
    local id, kind, payload = ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
    if not put(box, id, kind, at, payload, progress) then dropped = box.hook end
  end
end

-- Whether he was to be forgotten since.
local function is_forgotten(at)
  local forgot = redis.call('ZSCORE', forgotten, name)
  return forgot and tonumber(forgot) >= tonumber(at)
end

-- Keeps what is known of a visitor at least until then; lists him as long as something is.
local function keep_visitor(over, listed)
  over = math.max(tonumber(over), tonumber(redis.call('HGET', visitor, 'until') or '0'))
  redis.call('HSET', visitor, 'until', ms(over))
  expire(visitor, over)
  redis.call('ZADD', visitors, 'GT', ms(math.max(over, listed)), name)
  redis.call('ZREMRANGEBYSCORE', visitors, '-inf', ms(now))
end

-- ARGV: 8 session, 9 when, 10 until when no other begins, 11 until when he is known,
-- 12 account, 13 agent, 14 all that in JSON, 15 what is fresh progress, 16 on: deliveries.
function operations.chat()
  local key, over = chat_key(ARGV[8]), tonumber(ARGV[10])
  expect(key, 'string')
  expect(visitor, 'hash')
  expect(chats, 'zset')
  local found = expect_deliveries(16)
  if redis.call('EXISTS', key) == 1 or is_forgotten(ARGV[9]) then return end
  redis.call('SET', key, name)
  expire(key, over)
  enlist(chats, ARGV[14], ARGV[10], over)
  redis.call('ZREMRANGEBYSCORE', chats, '-inf', ms(now))
  redis.call('ZREMRANGEBYRANK', chats, 0, -1 - most_chats)
  if tonumber(redis.call('HGET', visitor, 'at') or '-1') <= tonumber(ARGV[9]) then
    redis.call('HSET', visitor, 'account', ARGV[12], 'agent', ARGV[13], 'at', ARGV[9])
  end
  keep_visitor(ARGV[11], over)
  put_deliveries(found, 16, ARGV[9], ARGV[15])
  return true
end

-- Fields, as a list of names and values, after others. What is restored gives way.
local function learn(fields, posted, most)
  local places = {}
  for place, field in ipairs(fields) do places[field[1]] = place end
  for _, field in ipairs(posted) do
    local place = places[field[1]]
    if not place and #fields < most then
      table.insert(fields, field)
      places[field[1]] = #fields
    elseif place and not restoring then
      fields[place] = field
    end
  end
end

-- ARGV: 8 when, 9 until when, 10 most fields, 11 fields, 12 the last chat's account, 13 agent
-- and 14 time as the sender knows them, 15 what is fresh progress, 16 on: deliveries.
function operations.details()
  expect(visitor, 'hash')
  local found = expect_deliveries(16)
  local known = redis.call('HMGET', visitor, 'at', 'fields')
  -- His chat may be on its way yet.
  local at = known[1] or ARGV[14]
  if at == '' or is_forgotten(at) then return end
  if not known[1] then
    redis.call('HSET', visitor, 'account', ARGV[12], 'agent', ARGV[13], 'at', at)
  end
  local fields = known[2] and cjson.decode(known[2]) or {}
  learn(fields, cjson.decode(ARGV[11]), tonumber(ARGV[10]))
  -- An empty list would become an object.
  if #fields > 0 then redis.call('HSET', visitor, 'fields', cjson.encode(fields)) end
  keep_visitor(ARGV[9], 0)
  put_deliveries(found, 16, ARGV[8], ARGV[15])
  return true
end

-- All that is known of a visitor until then goes.
function forget_visits(at)
  expect(visitor, 'hash')
  expect(chats, 'zset')
  for _, chat in ipairs(redis.call('ZRANGE', chats, 0, -1)) do
    local said = cjson.decode(chat)
    if said.at <= at then
      redis.call('DEL', chat_key(said.session))
      redis.call('ZREM', chats, chat)
    end
  end
  local last = redis.call('HGET', visitor, 'at')
  if last and tonumber(last) <= at then
    redis.call('DEL', visitor)
    if redis.call('EXISTS', chats) == 0 then redis.call('ZREM', visitors, name) end
  end
end

-- ARGV: 8 the entry; empty: it has ended.
function operations.subscription()
  if ARGV[8] == '' then
    redis.call('HDEL', subscriptions, name)
    redis.call('HDEL', confirmations, name)
  else
    redis.call(restoring and 'HSETNX' or 'HSET', subscriptions, name, ARGV[8])
  end
  return true
end

-- ARGV: 8 what was said, 9 when. What was said later before stays.
function operations.confirmation()
  local known = redis.call('HGET', confirmations, name)
  local read, before = pcall(cjson.decode, known or '')
  if read and type(before) == 'table' and tonumber(before.at or 0) > tonumber(ARGV[9]) then return end
  redis.call('HSET', confirmations, name, ARGV[8])
  return true
end

-- Nobody but the outbox need hear of what follows.

-- ARGV: 8 id, 9 kind, 10 when, 11 what it says, then as below from 9 on.
function operations.delivery()
  local box = box_of(name)
  expect_box(box)
  put(box, ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[16])
  if ARGV[12] ~= 'queued' or ARGV[13] ~= '0' then settle(box, ARGV[8], unpack(ARGV, 12, 16)) end
end

-- ARGV: 8 id, 9 state, 10 attempts, 11 when due, 12 when noted, 13 all that in JSON.
function operations.progress()
  local box = box_of(name)
  expect_box(box)
  settle(box, ARGV[8], unpack(ARGV, 9, 13))
end

operations['drop'] = function()
  local box = box_of(name)
  expect_box(box)
  drop(box)
end
