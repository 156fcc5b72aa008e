-- sweep.lua - which requests of a project have been on their way since before `cutoff`?
-- KEYS: vote:state:{p} vote:pending:{p}
-- ARGV: cutoff_ms
-- Returns {pending, request id, entry, request id, entry, ...}; vote.lua says what an entry is.
local pending = tonumber(redis.call('HGET', KEYS[1], 'pending') or '0')
local found = {pending}
if pending == 0 then return found end
local entries = redis.call('HGETALL', KEYS[2])
for i = 1, #entries, 2 do
    if entries[i]:sub(1, 2) == 'r:' then
        local time = entries[i + 1]:match('^[^,]*,[^,]*,(%d+),')
        if time and tonumber(time) < tonumber(ARGV[1]) then
            found[#found + 1] = entries[i]:sub(3)
            found[#found + 1] = entries[i + 1]
        end
    end
end
return found
