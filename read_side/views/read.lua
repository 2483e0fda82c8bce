-- The checkpoint and rows of a generation, from one moment.
-- KEYS[1] live   KEYS[2] checkpoints   KEYS[3] rows of the generation
-- ARGV[1] generation   ARGV[2] 'live' when it is asked for as the live one   ARGV[3...] accounts
-- Without a checkpoint nothing is returned: nobody reads half a view. Every key is named by the caller, who can only guess which
-- generation is live: when it is another one, its number alone is returned, and the caller asks again.
local generation = ARGV[1]
if ARGV[2] == 'live' then
  local live = redis.call('GET', KEYS[1])
  if not live then
    return {}
  end
  if live ~= generation then
    return {live}
  end
end
local checkpoint = redis.call('HGET', KEYS[2], generation)
if not checkpoint then
  return {}
end
local found = {generation, checkpoint}
local PART = 7000
for from = 3, #ARGV, PART do
  local part = redis.call('HMGET', KEYS[3], unpack(ARGV, from, math.min(from + PART - 1, #ARGV)))
  for i = 1, #part do
    found[#found + 1] = part[i]
  end
end
return found
