-- The checkpoint and rows of a generation, from one moment.
-- KEYS[1] live   KEYS[2] checkpoints   KEYS[3] rows of the given generation, or their prefix
-- ARGV[1] generation, '' for the live one   ARGV[2...] accounts
-- Without a checkpoint nothing is returned: nobody reads half a view. The rows key of the live generation is made from its
-- number, which only the server knows at this moment; it has the hash tag of the others, so it lies in the same slot.
local generation = ARGV[1]
local rows = KEYS[3]
if generation == '' then
  generation = redis.call('GET', KEYS[1])
  if not generation then
    return {}
  end
  rows = rows .. generation
end
local checkpoint = redis.call('HGET', KEYS[2], generation)
if not checkpoint then
  return {}
end
local found = {generation, checkpoint}
local PART = 7000
for from = 2, #ARGV, PART do
  local part = redis.call('HMGET', rows, unpack(ARGV, from, math.min(from + PART - 1, #ARGV)))
  for i = 1, #part do
    found[#found + 1] = part[i]
  end
end
return found
