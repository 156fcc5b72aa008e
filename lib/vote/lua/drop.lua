-- drop.lua - a project's state goes, to be loaded again by the next click.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p} vote:settled:{p}
-- ARGV: the version that Postgres has now; a load that read an older one is refused
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
local settled = redis.call('GET', KEYS[4])
if not settled or tonumber(settled) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[4], ARGV[1], 'EX', 60)
end
return 1
