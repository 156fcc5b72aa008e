-- sweep.lua - which requests of a project have been on their way since before `cutoff`?
-- KEYS: vote:pending:{p}
-- ARGV: cutoff_ms
-- Returns {how many are on their way, request id, entry, request id, entry, ...}; vote.lua says what an
-- entry is.
local entries = redis.call('HGETALL', KEYS[1])
local found = {0}
for i = 1, #entries, 2 do
    if entries[i]:match('^[rd]:') then
        found[1] = found[1] + 1
        local time = entries[i + 1]:match('^[^,]*,[^,]*,(%d+),')
        if time and tonumber(time) < tonumber(ARGV[1]) then
            found[#found + 1] = entries[i]:sub(3)
            found[#found + 1] = entries[i + 1]
        end
    end
end
return found
