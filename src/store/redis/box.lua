-- The deliveries to one subscription, which have keys of their own.
--
-- What a delivery says is there until it is delivered; how far it has come for longer. One
-- that was never tried is an entry of the stream, until it is settled: pending, once it was
-- taken. One that was tried is among the retries, or running.
local group = 'countersign'
-- Most that wait or are dead, and most delivered ones that are shown.
local most_kept, most_shown = 100000, 1000
-- Every subscription that has deliveries.
local boxes = 'countersign:outboxes'

-- The keys of a subscription, which is called site/name.
local function box_of(hook)
  local stream = 'countersign:outbox:' .. hook
  return {
    hook = hook,
    stream = stream,
    -- By id: what it says; its kind, a space and how far it has come; its entry of the stream.
    payloads = stream .. ':payloads',
    progress = stream .. ':progress',
    entries = stream .. ':entries',
    -- Ids: queued ones by when their events happened; of those, ones to be tried again, and
    -- ones that just are, by when they are due.
    waiting = stream .. ':waiting',
    retries = stream .. ':retries',
    running = stream .. ':running',
    -- Dead letters by their ids, which sort by time; delivered ones by when that was noted.
    dead = stream .. ':dead',
    delivered = stream .. ':delivered',
    -- Which replica delivers.
    lease = stream .. ':lease',
  }
end

local function expect_box(box)
  expect(boxes, 'set')
  expect(box.stream, 'stream')
  expect(box.lease, 'string')
  for _, key in ipairs({ 'payloads', 'progress', 'entries' }) do expect(box[key], 'hash') end
  for _, key in ipairs({ 'waiting', 'retries', 'running', 'dead', 'delivered' }) do
    expect(box[key], 'zset')
  end
end

-- Has it tried for the first time, after all others.
local function enqueue(box, id)
  if redis.call('EXISTS', box.stream) == 0 then
    redis.call('XGROUP', 'CREATE', box.stream, group, '0', 'MKSTREAM')
  end
  redis.call('HSET', box.entries, id, redis.call('XADD', box.stream, '*', 'id', id))
end

-- Has it tried no more.
local function unqueue(box, id)
  local entry = redis.call('HGET', box.entries, id)
  if entry then
    redis.call('XACK', box.stream, group, entry)
    redis.call('XDEL', box.stream, entry)
    redis.call('HDEL', box.entries, id)
  end
  redis.call('ZREM', box.retries, id)
  redis.call('ZREM', box.running, id)
end

local function remove(box, id)
  unqueue(box, id)
  redis.call('ZREM', box.waiting, id)
  redis.call('ZREM', box.dead, id)
  redis.call('HDEL', box.payloads, id)
  redis.call('HDEL', box.progress, id)
end

-- Adds a delivery; one that is there already stays as it is. Says whether there was room.
local function put(box, id, kind, at, payload, progress)
  if redis.call('HEXISTS', box.progress, id) == 1 then return true end
  if redis.call('HLEN', box.payloads) >= most_kept then
    local oldest = redis.call('ZRANGE', box.dead, 0, 0)[1]
    if not oldest then return false end
    remove(box, oldest)
  end
  redis.call('SADD', boxes, box.hook)
  redis.call('HSET', box.payloads, id, payload)
  redis.call('HSET', box.progress, id, kind .. ' ' .. progress)
  redis.call('ZADD', box.waiting, at, id)
  enqueue(box, id)
  return true
end

-- The kind of a delivery and how far it has come.
local function progress_of(box, id)
  return string.match(redis.call('HGET', box.progress, id) or '', '^(%S+) (.*)$')
end

-- Notes how far a delivery has come. That may be told late, by a replica that delivered
-- before: what is delivered stays so, what is dead can only turn out to be delivered, and a
-- later attempt is not forgotten for an earlier one.
local function settle(box, id, state, attempts, due, at, progress)
  if redis.call('HEXISTS', box.payloads, id) == 0 then return end
  local kind, known = progress_of(box, id)
  if state ~= 'delivered' then
    if redis.call('ZSCORE', box.dead, id) then return end
    if cjson.decode(known).attempts > tonumber(attempts) then return end
  end
  unqueue(box, id)
  redis.call('HSET', box.progress, id, kind .. ' ' .. progress)
  if state == 'queued' then
    redis.call('ZADD', box.retries, due, id)
    return
  end
  redis.call('ZREM', box.waiting, id)
  if state == 'dead' then
    redis.call('ZADD', box.dead, 0, id)
    return
  end
  redis.call('ZREM', box.dead, id)
  redis.call('HDEL', box.payloads, id)
  redis.call('ZADD', box.delivered, at, id)
  for _, oldest in ipairs(redis.call('ZRANGE', box.delivered, 0, -1 - most_shown)) do
    redis.call('ZREM', box.delivered, oldest)
    redis.call('HDEL', box.progress, oldest)
  end
end

-- All of them go. Whoever delivers goes on to.
local function drop(box)
  redis.call('UNLINK', box.stream, box.payloads, box.progress, box.entries, box.waiting,
    box.retries, box.running, box.dead, box.delivered)
  redis.call('SREM', boxes, box.hook)
end
