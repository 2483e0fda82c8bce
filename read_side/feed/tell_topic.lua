-- Tell the answer of a topic, by whoever keeps the topic; the first one who tells an answer keeps it, for as long as it tells again.
-- Who has none yet only says that there is such a topic: it keeps nothing from who has one.
-- Who is not at the end of the log yet replaces no answer of another history, and keeps it from nobody who is.
-- KEYS[1] answers (hash: topic -> answer, empty: there is no such topic any more)
-- KEYS[2] stream of the topics that changed   KEYS[3] the token of who keeps it, behind a ~ while not at the end of the log
-- ARGV[1] topic   ARGV[2] answer   ARGV[3] 'none' (yet, which never replaces one), 'behind' the end of the log or 'whole'
-- ARGV[4] the caller's token   ARGV[5] milliseconds until another may keep it   ARGV[6] most entries of the stream
-- ARGV[7] the answer's history
-- Returns 1; 0 where another keeps it, -1 where an answer of another history stands until the caller's is whole: nothing was told.
local told = redis.call('HGET', KEYS[1], ARGV[1])
if told == '' then
  told = false
end
if ARGV[3] == 'none' then
  if told then
    return 1
  end
else
  local keeper = redis.call('GET', KEYS[3])
  local own = not keeper or keeper == ARGV[4] or keeper == '~' .. ARGV[4]
  if ARGV[3] == 'whole' then
    if not own and string.sub(keeper, 1, 1) ~= '~' then
      return 0
    end
    redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
  else
    if not own then
      return 0
    end
    local read, answer = pcall(cmsgpack.unpack, told)
    if told and not (read and type(answer) == 'table' and answer.history == ARGV[7]) then
      return -1
    end
    redis.call('SET', KEYS[3], '~' .. ARGV[4], 'PX', ARGV[5])
  end
end
if told ~= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'topic', ARGV[1])
end
return 1
