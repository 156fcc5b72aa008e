-- drop.lua - a project's state goes, to be loaded again by the next click. What is on its way stays in
-- vote:pending: who sweeps or settles finds there what it has left elsewhere.
-- KEYS: vote:state:{p} vote:voters:{p} vote:settled:{p}
-- ARGV: the version that Postgres has now; a load that read an older one is refused
redis.call('DEL', KEYS[1], KEYS[2])
local settled = redis.call('GET', KEYS[3])
if not settled or tonumber(settled) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[3], ARGV[1], 'EX', 60)
end
return 1
