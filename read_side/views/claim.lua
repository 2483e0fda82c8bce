-- Become the owner of a generation: the token is the time of the claim in microseconds, later than the held one's, and a random text.
-- What another owner has loaded so far is not counted any more.
-- KEYS[1] owners   KEYS[2] loaded   ARGV[1] generation   ARGV[2] the random text
local now = redis.call('TIME')
local at = tonumber(now[1]) * 1000000 + tonumber(now[2])
local held = redis.call('HGET', KEYS[1], ARGV[1])
local before = held and tonumber(string.match(held, '^(%d+)-')) or 0
local token = string.format('%.0f-%s', math.max(at, before + 1), ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], token)
redis.call('HDEL', KEYS[2], ARGV[1])
return token
