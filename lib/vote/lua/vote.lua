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
--
-- Formatting and parsing floating-point numbers would be a fifth of its time: what has not changed is
-- not written, and what is a text stays one.
local number, format = tonumber, string.format
local texts = {[-1] = '-1', [0] = '0', [1] = '1'}

local state = redis.call('HMGET', KEYS[1], 'upvotes', 'downvotes', 'seq', 'pending')
if not state[1] then return {'missing'} end
for i = 1, 4 do
    -- What no script of ours has written there goes, and is loaded again; 2^52 is far beyond any of them.
    local n = number(state[i])
    if not n or n % 1 ~= 0 or n > 4503599627370496 or n < -4503599627370496 then
        redis.call('DEL', KEYS[1], KEYS[2])
        return {'missing'}
    end
    state[i] = n
end

local time = redis.call('TIME')
local seq = time[1] .. ('00000' .. time[2]):sub(-6)
local time_ms = seq:sub(1, -4)
if number(seq) <= state[3] then seq = format('%d', state[3] + 1) end

local previous = number(redis.call('HGET', KEYS[2], ARGV[1]))
if previous ~= 1 and previous ~= -1 then previous = 0 end
local value = number(ARGV[2])
if ARGV[3] == '1' and value == previous then value = 0 end
local up = (value == 1 and 1 or 0) - (previous == 1 and 1 or 0)
local down = (value == -1 and 1 or 0) - (previous == -1 and 1 or 0)
local upvotes, downvotes = state[1] + up, state[2] + down

local step = {KEYS[1], 'seq', seq, 'pending', format('%d', state[4] + 1)}
if up ~= 0 then step[6], step[7] = 'upvotes', format('%d', upvotes) end
if down ~= 0 then step[#step + 1], step[#step + 2] = 'downvotes', format('%d', downvotes) end
redis.call('HSET', unpack(step))
if value ~= previous then redis.call('HSET', KEYS[2], ARGV[1], texts[value]) end
redis.call('HSET', KEYS[3], 'u:' .. ARGV[1], ARGV[4], 'r:' .. ARGV[4], table.concat(
    {texts[up], texts[down], time_ms, seq, texts[previous], texts[value], ARGV[1]}, ','))
return {'ok', seq, previous, value, upvotes, downvotes}
