-- undo.lua - takes back what vote.lua added for a request that will never be in the log.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p}
-- ARGV: request id; 1: that it is on its way stays noted, as one without a step
-- Returns 1, or 0 when the request is not on its way.
--
-- Other clicks of the user may be on their way, too, and may end like this one, in any order: the one
-- before it is then the user's newest again, and the one behind it has stepped from what was before.
local text = redis.call('HGET', KEYS[3], 'r:' .. ARGV[1])
local noted = text or redis.call('HGET', KEYS[3], 'd:' .. ARGV[1])
if not noted then return 0 end
if ARGV[2] == '1' then
    redis.call('HSET', KEYS[3], 'd:' .. ARGV[1], noted)
else
    redis.call('HDEL', KEYS[3], 'd:' .. ARGV[1])
end
if not text or redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('HDEL', KEYS[3], 'r:' .. ARGV[1])
    return 1 -- its step went with the state
end

local function read(field, entry)
    local up, down, time, seq, previous, value, user =
        entry:match('^([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),(.*)$')
    return user and {field = field, up = tonumber(up), down = tonumber(down), time = time, seq = seq, at = tonumber(seq),
        previous = previous, value = value, user = user}
end

-- 0 - up, not -up: Lua's -0 is written "-0", which Redis takes for no number.
local function add(up, down)
    redis.call('HINCRBY', KEYS[1], 'upvotes', up)
    redis.call('HINCRBY', KEYS[1], 'downvotes', down)
end

local mine = read('r:' .. ARGV[1], text)
if not mine then return 0 end
local before, behind
local pending = redis.call('HGETALL', KEYS[3])
for i = 1, #pending, 2 do
    if pending[i]:sub(1, 2) == 'r:' and pending[i] ~= mine.field and pending[i + 1]:sub(-#mine.user - 1) == ',' .. mine.user then
        local other = read(pending[i], pending[i + 1])
        if other and other.at < mine.at and (not before or other.at > before.at) then before = other end
        if other and other.at > mine.at and (not behind or other.at < behind.at) then behind = other end
    end
end

redis.call('HDEL', KEYS[3], mine.field)
redis.call('HINCRBY', KEYS[1], 'pending', -1)
add(0 - mine.up, 0 - mine.down)
if behind then
    local up = (behind.value == '1' and 1 or 0) - (mine.previous == '1' and 1 or 0)
    local down = (behind.value == '-1' and 1 or 0) - (mine.previous == '-1' and 1 or 0)
    add(up - behind.up, down - behind.down)
    redis.call('HSET', KEYS[3], behind.field, table.concat(
        {up, down, behind.time, behind.seq, mine.previous, behind.value, behind.user}, ','))
elseif redis.call('HGET', KEYS[3], 'u:' .. mine.user) == ARGV[1] then
    redis.call('HSET', KEYS[2], mine.user, mine.previous)
    if before then
        redis.call('HSET', KEYS[3], 'u:' .. mine.user, before.field:sub(3))
    else
        redis.call('HDEL', KEYS[3], 'u:' .. mine.user)
    end
end
return 1
