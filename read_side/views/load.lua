-- Rows of a generation that has no checkpoint yet.
-- KEYS[3] rows   ARGV[3...] account, row, ...
local refusal, stored = fence()
if refusal then
  return refusal
end
if stored then
  return {'mismatch', stored}
end
write_rows(KEYS[3], 3)
return {'done'}
