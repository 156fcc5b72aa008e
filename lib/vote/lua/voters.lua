-- voters.lua - some of a project's voters, into a hash of the load's own, before load.lua makes its state.
-- KEYS: vote:state:{p} vote:loading:{p}:load
-- ARGV: 1 at the first part (else 0), then user and value by turns
-- Returns 1 when the state is there already: nothing is to be loaded.
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
if ARGV[1] == '1' then redis.call('DEL', KEYS[2]) end
if #ARGV > 1 then
    redis.call('HSET', KEYS[2], unpack(ARGV, 2))
    redis.call('EXPIRE', KEYS[2], 60) -- of a load that died
end
return 0
