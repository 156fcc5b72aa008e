-- vote.lua - one click on the optimistic state of a project; answers before Kafka or Postgres know.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p}
-- ARGV: user, wanted (1, -1, 0), toggle (1 or 0), request id
-- Returns {'missing'} when the state must be loaded first, otherwise
-- {'ok', seq, previous, value, upvotes, downvotes}.
--
-- vote:pending holds `r:<request>` = up,down,time_ms,seq,previous,value,user (what each request on its
-- way has added) and `u:<user>` = the user's newest request on its way, so that settling one twice
-- does nothing. `d:<request>` is one without a step: it went with a state that was dropped (load.lua),
-- or was taken back, and its user is still to be told (undo.lua). An entry leaves when all else that
-- its click has done is settled, or taken back.
local state = redis.call('HMGET', KEYS[1], 'upvotes', 'downvotes', 'seq', 'pending', 'pending_up', 'pending_down')
if not state[1] then return {'missing'} end
for i = 1, 6 do
    -- What no script of ours has written there goes, and is loaded again; 2^52 is far beyond any of them.
    local number = tonumber(state[i])
    if not number or number ~= math.floor(number) or math.abs(number) > 4503599627370496 then
        redis.call('DEL', KEYS[1], KEYS[2])
        return {'missing'}
    end
end
local upvotes, downvotes = tonumber(state[1]), tonumber(state[2])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local seq = string.format('%.0f', math.max(now, tonumber(state[3]) + 1))

local previous = tonumber(redis.call('HGET', KEYS[2], ARGV[1]))
if previous ~= 1 and previous ~= -1 then previous = 0 end
local value = tonumber(ARGV[2])
if ARGV[3] == '1' and value == previous then value = 0 end

local up = (value == 1 and 1 or 0) - (previous == 1 and 1 or 0)
local down = (value == -1 and 1 or 0) - (previous == -1 and 1 or 0)
upvotes, downvotes = upvotes + up, downvotes + down

redis.call('HSET', KEYS[1], 'upvotes', upvotes, 'downvotes', downvotes, 'seq', seq, 'pending', state[4] + 1,
    'pending_up', state[5] + up, 'pending_down', state[6] + down)
redis.call('HSET', KEYS[2], ARGV[1], value)
redis.call('HSET', KEYS[3], 'u:' .. ARGV[1], ARGV[4], 'r:' .. ARGV[4], table.concat(
    {up, down, string.format('%.0f', math.floor(now / 1000)), seq, previous, value, ARGV[1]}, ','))
return {'ok', seq, previous, value, upvotes, downvotes}
