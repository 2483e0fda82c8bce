-- Checkpoint and rows of a generation go in one step; memory is given back in the background.
-- KEYS[3] rows   KEYS[4] loaded
local refusal = fence()
if refusal then
  return refusal
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('UNLINK', KEYS[3])
redis.call('HSET', KEYS[4], ARGV[1], 0)
return {'done'}
