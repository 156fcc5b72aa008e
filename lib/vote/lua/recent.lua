-- recent.lua - of a user's latest clicks, those up to a seq go.
-- KEYS: vote:recent:{user}
-- ARGV: seq
local recent = redis.call('HGETALL', KEYS[1])
for i = 1, #recent, 2 do
    local seq = recent[i + 1]:match('([^,]*)$')
    if (tonumber(seq) or 0) <= tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], recent[i]) end
end
return 1
