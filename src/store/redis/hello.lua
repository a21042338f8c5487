-- Greets a database: begins it if nothing is there, and says where its log stands.
-- KEYS: 1 meta, 2 log.
-- ARGV: 1 the digest key and 2 the epoch that a new database gets, 3 the last entry that the
-- caller has applied, or ''.
-- Answers { digest key, epoch, entries ever, last entry, first entry, whether the caller's
-- entry is still there, milliseconds now }.
local meta, log = KEYS[1], KEYS[2]
local layout = redis.call('HGET', meta, 'layout')
if layout and layout ~= '1' then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not known to this version')
end
local empty = redis.call('XLEN', log) == 0
local began = redis.call('HSETNX', meta, 'epoch', ARGV[2]) == 1
if began then
  redis.call('HSET', meta, 'key', ARGV[1], 'layout', '1', 'entries', '0')
end
if began or empty then
  redis.call('XADD', log, '*', 'n', redis.call('HINCRBY', meta, 'entries', 1), 'began', ARGV[2])
end
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1][1]
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][1]
local there = ARGV[3] ~= '' and #redis.call('XRANGE', log, ARGV[3], ARGV[3])
local time = redis.call('TIME')
local known = redis.call('HMGET', meta, 'key', 'epoch', 'entries')
return {
  known[1], known[2], tonumber(known[3]), last, first, there or 0,
  time[1] * 1000 + math.floor(time[2] / 1000),
}
