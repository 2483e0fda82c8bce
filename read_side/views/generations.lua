-- Every generation that has a checkpoint or rows.
-- KEYS[1] owners   KEYS[2] checkpoints   KEYS[3] prefix of the rows keys
local found = redis.call('HKEYS', KEYS[2])
for _, generation in ipairs(redis.call('HKEYS', KEYS[1])) do
  if redis.call('HEXISTS', KEYS[2], generation) == 0 and redis.call('EXISTS', KEYS[3] .. generation) == 1 then
    found[#found + 1] = generation
  end
end
return found
