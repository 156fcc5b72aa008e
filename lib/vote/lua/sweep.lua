-- sweep.lua - which requests of a project have been on their way since before `cutoff`? A page of them:
-- after an outage there can be more than Redis may be held up for.
-- KEYS: vote:pending:{p}
-- ARGV: cutoff_ms, cursor of HSCAN, fields of a page
-- Returns {next cursor, how many of the page are on their way, request id, entry, request id, entry, ...};
-- vote.lua says what an entry is.
local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local found, entries = {page[1], 0}, page[2]
for i = 1, #entries, 2 do
    if entries[i]:match('^[rd]:') then
        found[2] = found[2] + 1
        local time = entries[i + 1]:match('^[^,]*,[^,]*,(%d+),')
        if time and tonumber(time) < tonumber(ARGV[1]) then
            found[#found + 1] = entries[i]:sub(3)
            found[#found + 1] = entries[i + 1]
        end
    end
end
return found
