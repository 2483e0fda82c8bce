-- Make a generation live instead of another one, if its checkpoint is not behind that one's. It has no owner then.
-- KEYS[3] live   KEYS[4] kept   ARGV[3] the generation that is live and is kept
local refusal, stored = fence()
if refusal then
  return refusal
end
local function sequence(checkpoint)
  return tonumber(string.match(checkpoint, '^%-?%d+'))
end
local live = redis.call('GET', KEYS[3])
local reached = live and redis.call('HGET', KEYS[2], live)
if live ~= ARGV[3] or not stored or (reached and sequence(stored) < sequence(reached)) then
  return {'mismatch', reached, live}
end
redis.call('SET', KEYS[3], ARGV[1])
redis.call('SET', KEYS[4], live)
redis.call('HDEL', KEYS[1], ARGV[1])
return {'done'}
