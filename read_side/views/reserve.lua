-- Reserve the making of generations, or go on with it; what was left unfinished stays until it is said anew.
-- KEYS[1] reserved   ARGV[1] token   ARGV[2] for how many microseconds   ARGV[3] what is unfinished now, where that is said
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local token, until_us, unfinished = unpack(redis.call('HMGET', KEYS[1], 'token', 'until_us', 'unfinished'))
unfinished = unfinished or ''
if token and token ~= ARGV[1] and tonumber(until_us) > now then
  return {0, until_us, unfinished}
end
unfinished = ARGV[3] or unfinished
until_us = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'until_us', until_us, 'unfinished', unfinished)
return {1, until_us, unfinished}
