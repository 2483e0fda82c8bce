-- Say which topics there are. One that nobody has named for a while, though somebody names others, is told to be none any more; what
-- says so is forgotten later. Where nobody names any, all of it ends by itself.
-- KEYS[1] answers (as in tell_topic.lua)   KEYS[2] stream of the topics that changed   KEYS[3] hash: topic -> when it was named, in ms
-- ARGV[1] milliseconds until a topic is none   ARGV[2] until what says so, and everything, is forgotten   ARGV[3] most entries of
-- the stream   ARGV[4..] the names
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for at = 4, #ARGV do
  redis.call('HSET', KEYS[3], ARGV[at], now)
end
for _, topic in ipairs(redis.call('HKEYS', KEYS[1])) do
  local named = tonumber(redis.call('HGET', KEYS[3], topic))
  if not named then
    redis.call('HSET', KEYS[3], topic, now)  -- by a version that does not say so; or it was lost
  elseif now - named > tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], topic)
    redis.call('HDEL', KEYS[3], topic)
  elseif now - named > tonumber(ARGV[1]) and redis.call('HGET', KEYS[1], topic) ~= '' then
    redis.call('HSET', KEYS[1], topic, '')
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'topic', topic)
  end
end
for at = 1, 3 do
  redis.call('PEXPIRE', KEYS[at], ARGV[2])
end
