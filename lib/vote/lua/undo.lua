-- undo.lua - takes back what vote.lua added for a request that will never be in the log.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p}
-- ARGV: request id
-- Returns the user's value that stands now (-1, 0, 1), or nil when the request is not pending.
local entry = redis.call('HGET', KEYS[3], 'r:' .. ARGV[1])
if not entry then return nil end
local up, down, previous, user = entry:match('^([^,]+),([^,]+),[^,]+,[^,]+,([^,]+),[^,]+,(.*)$')
redis.call('HDEL', KEYS[3], 'r:' .. ARGV[1])
-- 0 - up, not -up: Lua's -0 is written "-0", which Redis takes for no number.
redis.call('HINCRBY', KEYS[1], 'pending', -1)
redis.call('HINCRBY', KEYS[1], 'upvotes', 0 - up)
redis.call('HINCRBY', KEYS[1], 'pending_up', 0 - up)
redis.call('HINCRBY', KEYS[1], 'downvotes', 0 - down)
redis.call('HINCRBY', KEYS[1], 'pending_down', 0 - down)
-- A later click of the user has taken its own step since: then that one stands.
if redis.call('HGET', KEYS[3], 'u:' .. user) == ARGV[1] then
    redis.call('HDEL', KEYS[3], 'u:' .. user)
    redis.call('HSET', KEYS[2], user, previous)
end
return tonumber(redis.call('HGET', KEYS[2], user) or '0')
