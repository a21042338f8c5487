-- What whoever delivers asks of the deliveries to one subscription.
-- ARGV: 3 operation, 4 the subscription as site/name, then its own.
local box = box_of(ARGV[4])
expect_box(box)
local operations = {}

-- How many entries of the stream were never taken: all others are pending.
local function untaken()
  if redis.call('EXISTS', box.stream) == 0 then return 0 end
  return redis.call('XLEN', box.stream) - redis.call('XPENDING', box.stream, group)[1]
end

-- When the next one is to be tried again; empty: there is none.
local function next_retry()
  return redis.call('ZRANGE', box.retries, 0, 0, 'WITHSCORES')[2] or ''
end

-- ARGV: 5 the replica, 6 for how long.
-- Answers { 0: another one delivers, 1: this one does, 2: this one does from now on; how many
-- are untaken, when the next retry is due }.
function operations.lease()
  local owner, is = redis.call('GET', box.lease), 1
  if not owner then is = 2 elseif owner ~= ARGV[5] then return { 0, 0, '' } end
  redis.call('SET', box.lease, ARGV[5], 'PX', ARGV[6])
  return { is, untaken(), next_retry() }
end

-- Consumers that are no more, and have nothing pending.
local function drop_consumers(mine)
  for _, said in ipairs(redis.call('XINFO', 'CONSUMERS', box.stream, group)) do
    local consumer = {}
    for place = 1, #said, 2 do consumer[said[place]] = said[place + 1] end
    if consumer.name ~= mine and consumer.pending == 0 then
      redis.call('XGROUP', 'DELCONSUMER', box.stream, group, consumer.name)
    end
  end
end

-- ARGV: 5 the replica, 6 the time, 7 how many at most, 8 from which entry on what was taken
-- once and is not settled is taken again ('': none of that).
-- Answers { 0: it is not for this one to deliver, or 1; from which entry on next time, how
-- many are untaken, when the next retry is due, ids, what they say, how far they have come }.
function operations.take()
  if redis.call('GET', box.lease) ~= ARGV[5] then return { 0, '', 0, '', {}, {}, {} } end
  local most, from = tonumber(ARGV[7]), ARGV[8]
  local ids, payloads, progress = {}, {}, {}
  local function add(id)
    local payload = redis.call('HGET', box.payloads, id)
    if not payload then return remove(box, id) end
    local _, known = progress_of(box, id)
    table.insert(ids, id)
    table.insert(payloads, payload)
    table.insert(progress, known)
  end
  local function add_entries(entries)
    for _, entry in ipairs(entries) do
      -- Servers before 7.0 answer nil for what was deleted.
      if entry and entry[2] then add(entry[2][2]) end
    end
  end
  if from == '0-0' then
    local running = redis.call('ZRANGE', box.running, 0, -1, 'WITHSCORES')
    for place = 1, #running, 2 do redis.call('ZADD', box.retries, running[place + 1], running[place]) end
    redis.call('DEL', box.running)
  end
  local streams = redis.call('EXISTS', box.stream) == 1
  if not streams then from = '' end
  if from ~= '' then
    local claimed = redis.call('XAUTOCLAIM', box.stream, group, ARGV[5], 0, from, 'COUNT', most)
    from = claimed[1]
    add_entries(claimed[2])
    if from == '0-0' then
      from = ''
      drop_consumers(ARGV[5])
    end
  end
  if from == '' and streams and #ids < most then
    local read = redis.call('XREADGROUP', 'GROUP', group, ARGV[5], 'COUNT', most - #ids,
      'STREAMS', box.stream, '>')
    if read then add_entries(read[1][2]) end
  end
  if from == '' and #ids < most then
    local late = redis.call('ZRANGEBYSCORE', box.retries, '-inf', ARGV[6], 'WITHSCORES',
      'LIMIT', 0, most - #ids)
    for place = 1, #late, 2 do
      redis.call('ZREM', box.retries, late[place])
      redis.call('ZADD', box.running, late[place + 1], late[place])
      add(late[place])
    end
  end
  return { 1, from, untaken(), next_retry(), ids, payloads, progress }
end

-- ARGV: 5 id, 6 what is fresh progress.
function operations.replay()
  local id = ARGV[5]
  local kind = progress_of(box, id)
  if not kind then return 'unknown' end
  if not redis.call('ZSCORE', box.dead, id) then return 'kept' end
  local at = cjson.decode(redis.call('HGET', box.payloads, id)).event.at
  redis.call('ZREM', box.dead, id)
  redis.call('HSET', box.progress, id, kind .. ' ' .. ARGV[6])
  redis.call('ZADD', box.waiting, ms(at), id)
  enqueue(box, id)
  return 'queued'
end

-- ARGV: 5 on: ids that go.
function operations.forget()
  for place = 5, #ARGV do remove(box, ARGV[place]) end
  return {}
end

return operations[ARGV[3]]()
