-- load.lua - makes a project's optimistic state: what Postgres had at `version`.
-- KEYS: vote:state:{p} vote:pending:{p} vote:settled:{p}
-- ARGV: upvotes, downvotes, version, seq
-- Returns 1 when the state is there, 0 when Postgres has moved on since it was read: read it again.
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
local settled = redis.call('GET', KEYS[3])
if settled and tonumber(settled) > tonumber(ARGV[3]) then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'upvotes', ARGV[1], 'downvotes', ARGV[2], 'version', ARGV[3], 'seq', ARGV[4],
    'pending', 0, 'pending_up', 0, 'pending_down', 0)
return 1
