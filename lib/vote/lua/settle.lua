-- settle.lua - what is shown becomes what Postgres has, plus what is still on its way.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p} vote:settled:{p}
-- ARGV: upvotes, downvotes, version (after the commit), then request id, user, standing value by turns
-- Settling twice, or in another order, ends at the same state: requests leave a set, and the counts
-- with the highest version win.
if redis.call('EXISTS', KEYS[1]) == 0 then
    -- A load that read Postgres before this commit must not bring the older counts back.
    redis.call('SET', KEYS[4], ARGV[3], 'EX', 60)
    return 0
end
local state = redis.call('HMGET', KEYS[1], 'upvotes', 'downvotes', 'version', 'pending', 'pending_up', 'pending_down')
local upvotes, downvotes, version = tonumber(state[1]), tonumber(state[2]), tonumber(state[3])
local pending, pending_up, pending_down = tonumber(state[4]), tonumber(state[5]), tonumber(state[6])
local base_up, base_down = upvotes - pending_up, downvotes - pending_down
for i = 4, #ARGV, 3 do
    local request, user = 'r:' .. ARGV[i], 'u:' .. ARGV[i + 1]
    local entry = redis.call('HGET', KEYS[3], request)
    if entry then
        local up, down = entry:match('^(-?%d+),(-?%d+)')
        pending, pending_up, pending_down = pending - 1, pending_up - up, pending_down - down
        redis.call('HDEL', KEYS[3], request)
    end
    local newest = redis.call('HGET', KEYS[3], user)
    if not newest or newest == ARGV[i] then
        -- No field is no vote: who was forgotten leaves none.
        if ARGV[i + 2] == '0' then
            redis.call('HDEL', KEYS[2], ARGV[i + 1])
        else
            redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2])
        end
        if newest then redis.call('HDEL', KEYS[3], user) end
    end
end
if tonumber(ARGV[3]) >= version then
    base_up, base_down, version = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
end
redis.call('HSET', KEYS[1], 'upvotes', base_up + pending_up, 'downvotes', base_down + pending_down,
    'version', version, 'pending', pending, 'pending_up', pending_up, 'pending_down', pending_down)
return 1
