-- settle.lua - what is shown becomes what Postgres has, plus what is still on its way.
-- KEYS: vote:state:{p} vote:voters:{p} vote:pending:{p} vote:settled:{p}
-- ARGV: upvotes, downvotes, version (after the commit), then request id, user, standing value by turns
-- Settling twice, or in another order, ends at the same state: requests leave a set, and the counts
-- with the highest version win.
local state = redis.call('HMGET', KEYS[1], 'upvotes', 'downvotes', 'version', 'pending', 'base_up', 'base_down')
local is_whole = true
for i = 1, 6 do
    state[i] = tonumber(state[i])
    is_whole = is_whole and state[i] ~= nil
end
if not is_whole then
    redis.call('DEL', KEYS[1], KEYS[2]) -- what no script of ours has written goes, and is loaded again
    for i = 4, #ARGV, 3 do redis.call('HDEL', KEYS[3], 'r:' .. ARGV[i], 'd:' .. ARGV[i]) end
    -- A load that read Postgres before this commit must not bring the older counts back.
    redis.call('SET', KEYS[4], ARGV[3], 'EX', 60)
    return 0
end
local version, pending, base_up, base_down = state[3], state[4], state[5], state[6]
local pending_up, pending_down = state[1] - base_up, state[2] - base_down
-- Users with a later click on its way that stepped from something else than what stands: the seq that
-- was settled, and what stands.
local outrun = {}
for i = 4, #ARGV, 3 do
    local request, user, name = 'r:' .. ARGV[i], 'u:' .. ARGV[i + 1], ARGV[i + 1]
    local entry, seq, shown = redis.call('HGET', KEYS[3], request), 0, nil
    if entry then
        local up, down, at, value = entry:match('^(-?%d+),(-?%d+),[^,]*,(%d+),[^,]*,(-?%d+),')
        pending, pending_up, pending_down = pending - 1, pending_up - up, pending_down - down
        seq, shown = tonumber(at), value
    end
    redis.call('HDEL', KEYS[3], request, 'd:' .. ARGV[i])
    local newest = redis.call('HGET', KEYS[3], user)
    if newest and newest ~= ARGV[i] and redis.call('HEXISTS', KEYS[3], 'r:' .. newest) == 1 then
        outrun[name] = shown ~= ARGV[i + 2] and {seq = seq, stands = tonumber(ARGV[i + 2])} or nil
    else
        -- No field is no vote: who was forgotten leaves none.
        if ARGV[i + 2] == '0' then
            redis.call('HDEL', KEYS[2], name)
        else
            redis.call('HSET', KEYS[2], name, ARGV[i + 2])
        end
        if newest then redis.call('HDEL', KEYS[3], user) end
        outrun[name] = nil
    end
end

-- The click behind steps from what stands now: if it is lost, that is what it leaves. Rare, and as long
-- as much is on its way; it must never be what every settling does.
if next(outrun) then
    local behind, entries = {}, redis.call('HGETALL', KEYS[3])
    for i = 1, #entries, 2 do
        local up, down, time, seq, previous, value, name =
            entries[i + 1]:match('^([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),(.*)$')
        local settled, first = outrun[name or ''], behind[name or '']
        seq = tonumber(seq)
        if settled and entries[i]:sub(1, 2) == 'r:' and seq > settled.seq and not (first and first.seq < seq) then
            behind[name] = {field = entries[i], up = up, down = down, seq = seq, value = tonumber(value),
                head = time .. ',' .. string.format('%.0f', seq)}
        end
    end
    for name, click in pairs(behind) do
        local stands = outrun[name].stands
        local up = (click.value == 1 and 1 or 0) - (stands == 1 and 1 or 0)
        local down = (click.value == -1 and 1 or 0) - (stands == -1 and 1 or 0)
        pending_up, pending_down = pending_up + up - click.up, pending_down + down - click.down
        redis.call('HSET', KEYS[3], click.field, table.concat({up, down, click.head, stands, click.value, name}, ','))
    end
end
if tonumber(ARGV[3]) >= version then
    base_up, base_down, version = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
end
redis.call('HSET', KEYS[1], 'upvotes', base_up + pending_up, 'downvotes', base_down + pending_down,
    'version', version, 'pending', pending, 'base_up', base_up, 'base_down', base_down)
return 1
