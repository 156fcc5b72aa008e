-- guard.lua - may this user's vote go on? The rate limit and the idempotency record of one user.
-- KEYS: vote:rate:{user} [vote:idem:{user}:key]
-- ARGV: interval_us and burst of the limit (0 0: none), then, with an idempotency key: body,
--       request id, accepted_at_ms, lease_ms, kept_ms
--
-- Returns one of
--   {'go', remaining, reset_us, request id, accepted_at_ms, again}  again = 1: an earlier attempt of
--                                        this key died half way, and this is to be the same request
--   {'limited', remaining, reset_us, wait_us}
--   {'replay', answer, request id} | {'differs'} | {'busy', wait_ms}
-- A replay costs nothing of the limit.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now / 1000)
local request_id, accepted_at_ms, again = ARGV[4], ARGV[5], 0

if KEYS[2] then
    local record = redis.call('GET', KEYS[2])
    record = record and cjson.decode(record)
    if record then
        if record.body ~= ARGV[3] then return {'differs'} end
        if record.answer then return {'replay', record.answer, record.request_id} end
        if record.until_ms > now_ms then return {'busy', record.until_ms - now_ms} end
        request_id, accepted_at_ms, again = record.request_id, record.accepted_at_ms, 1
    end
end

-- GCRA: one cell each interval, `burst` of them ahead at most.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local remaining, reset = burst, 0
if interval > 0 then
    local theoretical = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
    local following = theoretical + interval
    if following - now > burst * interval then
        return {'limited', 0, theoretical - now, following - burst * interval - now}
    end
    reset = following - now
    remaining = math.floor((burst * interval - reset) / interval)
    redis.call('SET', KEYS[1], string.format('%.0f', following), 'PX', math.ceil(reset / 1000))
end

if KEYS[2] then
    redis.call('SET', KEYS[2], cjson.encode({body = ARGV[3], request_id = request_id,
        accepted_at_ms = accepted_at_ms, until_ms = now_ms + tonumber(ARGV[6])}), 'PX', ARGV[7])
end
return {'go', remaining, reset, request_id, accepted_at_ms, again}
