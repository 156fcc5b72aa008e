-- forget.lua - takes a project off the list of those with votes on their way, unless it got one since.
-- KEYS: vote:touched
-- ARGV: project, the score it had
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
