-- Make a generation live, if its checkpoint is not behind the live one's.
-- KEYS[3] live
local refusal, stored = fence()
if refusal then
  return refusal
end
local function sequence(checkpoint)
  return tonumber(string.match(checkpoint, '^%-?%d+'))
end
local live = redis.call('GET', KEYS[3])
local reached = live and redis.call('HGET', KEYS[2], live)
if not stored or (reached and sequence(stored) < sequence(reached)) then
  return {'mismatch', reached, live}
end
redis.call('SET', KEYS[3], ARGV[1])
return {'done'}
