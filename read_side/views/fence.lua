-- Put before every script that writes: who may write a generation, and where it stands.
-- KEYS[1] owners (hash: generation -> token)   KEYS[2] checkpoints (hash: generation -> text)
-- ARGV[1] generation                           ARGV[2] the caller's token
-- Returns nil when the caller is the owner, else the answer to give; and the stored checkpoint, false for none.
local function fence()
  local token = redis.call('HGET', KEYS[1], ARGV[1])
  local stored = redis.call('HGET', KEYS[2], ARGV[1])
  if not token then
    return {'mismatch', stored}, stored
  end
  if token ~= ARGV[2] then
    return {'stale', stored, token}, stored
  end
  return nil, stored
end

-- HSET key field value ...: ARGV from `first` on. Lua's stack takes about 8,000 values a call, so in parts.
local PART = 7000
local function write_rows(key, first)
  for from = first, #ARGV, PART do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + PART - 1, #ARGV)))
  end
end
