-- Makes the change, and tells of it.
if not operations[operation]() or restoring then return false end
local said = { 'n', redis.call('HINCRBY', meta, 'entries', 1), ARGV[4], ARGV[5] }
if dropped then
  table.insert(said, 'dropped')
  table.insert(said, dropped)
end
return redis.call('XADD', log, 'MAXLEN', '~', ARGV[3], '*', unpack(said))
