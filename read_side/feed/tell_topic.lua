-- Tell the answer of a topic, by whoever keeps the topic; the first one who tells an answer keeps it, for as long as it tells again.
-- Who has none yet only says that there is such a topic: it keeps nothing from who has one.
-- KEYS[1] answers (hash: topic -> answer)   KEYS[2] stream of the topics that changed   KEYS[3] the token of who keeps it
-- ARGV[1] topic   ARGV[2] answer   ARGV[3] 1: that there is none yet, which never replaces one   ARGV[4] the caller's token
-- ARGV[5] milliseconds until another may keep it   ARGV[6] most entries of the stream
-- Returns 1, or 0 where another keeps it and nothing was told.
local told = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[3] == '1' then
  if told then
    return 1
  end
else
  local keeper = redis.call('GET', KEYS[3])
  if keeper and keeper ~= ARGV[4] then
    return 0
  end
  redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
end
if told ~= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'topic', ARGV[1])
end
return 1
