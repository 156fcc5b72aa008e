-- answered.lua - the idempotency record of a key gets its answer, or is freed for the next attempt.
-- KEYS: vote:idem:{user}:key
-- ARGV: request id, answer (empty: the attempt failed; the next one goes on as the same request)
-- Only the attempt that holds the record may write it.
local text = redis.call('GET', KEYS[1])
local record = text and cjson.decode(text)
if not record or record.request_id ~= ARGV[1] or record.answer then return 0 end
if ARGV[2] == '' then
    record.until_ms = 0
else
    record.answer = ARGV[2]
end
redis.call('SET', KEYS[1], cjson.encode(record), 'KEEPTTL')
return 1
