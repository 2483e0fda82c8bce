-- Rows and checkpoint in one atomic step, if the stored checkpoint is the expected one.
-- KEYS[3] live   KEYS[4] rows (hash: account -> packed row)   KEYS[5] loaded
-- ARGV[3] expected checkpoint, '' for none   ARGV[4] the new one   ARGV[5] how many rows were loaded   ARGV[6...] account, row, ...
local refusal, stored = fence()
if refusal then
  return refusal
end
if (stored or '') ~= ARGV[3] then
  return {'mismatch', stored}
end
if not stored and (tonumber(redis.call('HGET', KEYS[5], ARGV[1])) or 0) ~= tonumber(ARGV[5]) then
  return {'mismatch', stored}
end
write_rows(KEYS[4], 6)
if stored ~= ARGV[4] then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
end
redis.call('SET', KEYS[3], ARGV[1], 'NX')
return {'done', redis.call('GET', KEYS[3])}
