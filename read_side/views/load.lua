-- Rows of a generation that has no checkpoint yet.
-- KEYS[3] rows   KEYS[4] loaded (hash: generation -> how many since it was cleared)   ARGV[3...] account, row, ...
local refusal, stored = fence()
if refusal then
  return refusal
end
if stored then
  return {'mismatch', stored}
end
write_rows(KEYS[3], 3)
redis.call('HINCRBY', KEYS[4], ARGV[1], (#ARGV - 2) / 2)
return {'done'}
