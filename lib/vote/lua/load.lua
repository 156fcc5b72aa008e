-- load.lua - makes a project's optimistic state: what Postgres had at `version`.
-- KEYS: vote:state:{p} vote:pending:{p} vote:settled:{p} vote:voters:{p} vote:loading:{p}:load
-- ARGV: upvotes, downvotes, version, seq, how many voters voters.lua was given
-- Returns 1 when the state is there, 0 when it is to be read again: Postgres has moved on since, or
-- Redis was emptied between the voters and here. State and voters come in one step, so that whoever
-- empties Redis or drops the state leaves both or neither.
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('DEL', KEYS[5])
    return 1
end
local settled = redis.call('GET', KEYS[3])
local count = tonumber(ARGV[5])
if settled and tonumber(settled) > tonumber(ARGV[3]) or redis.call('HLEN', KEYS[5]) ~= count then
    redis.call('DEL', KEYS[5])
    return 0
end
redis.call('DEL', KEYS[4])
-- What was on its way when the state went is no part of this one: only what it left elsewhere is
-- still to be settled, or taken back.
local left = redis.call('HGETALL', KEYS[2])
for i = 1, #left, 2 do
    redis.call('HDEL', KEYS[2], left[i])
    if left[i]:match('^[rd]:') then redis.call('HSET', KEYS[2], 'd:' .. left[i]:sub(3), left[i + 1]) end
end
if count > 0 then
    redis.call('RENAME', KEYS[5], KEYS[4])
    redis.call('PERSIST', KEYS[4])
end
-- What vote.lua reads comes first: Redis looks for the fields of a small hash one after the other.
redis.call('HSET', KEYS[1], 'upvotes', ARGV[1], 'downvotes', ARGV[2], 'seq', ARGV[4], 'pending', 0, 'version', ARGV[3],
    'base_up', ARGV[1], 'base_down', ARGV[2])
return 1
