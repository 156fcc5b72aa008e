-- undo.lua - takes back what vote.lua added for a request that Kafka refused.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p}
-- ARGV: user, request id, previous value
local entry = redis.call('HGET', KEYS[3], 'r:' .. ARGV[2])
if not entry then return 0 end
local up, down = entry:match('^(-?%d+),(-?%d+)')
redis.call('HDEL', KEYS[3], 'r:' .. ARGV[2])
redis.call('HINCRBY', KEYS[1], 'pending', -1)
redis.call('HINCRBY', KEYS[1], 'upvotes', -up)
redis.call('HINCRBY', KEYS[1], 'pending_up', -up)
redis.call('HINCRBY', KEYS[1], 'downvotes', -down)
redis.call('HINCRBY', KEYS[1], 'pending_down', -down)
-- A later click of the user has taken its own step since: then that one stands.
if redis.call('HGET', KEYS[3], 'u:' .. ARGV[1]) == ARGV[2] then
    redis.call('HDEL', KEYS[3], 'u:' .. ARGV[1])
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
return 1
