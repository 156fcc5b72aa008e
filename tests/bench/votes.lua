-- votes.lua - what wrk sends: wrk -s votes.lua URL -- TOKENS PROJECTS. SPDX-License-Identifier: Apache-2.0
--
-- Each thread picks user, project and toggle by a random of its own, seeded with its number, so that
-- every server gets the same votes. Answers are counted by wrk itself: reading each in Lua would take as much of the
-- cores as the server that is measured. `done` prints one line of JSON.
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

local heads, tails = {}, {}

function init(arguments)
    math.randomseed(seed)
    for token in io.lines(arguments[1]) do
        heads[#heads + 1] = "POST /api/votes HTTP/1.1\r\nHost: " .. wrk.headers["Host"] ..
            "\r\nContent-Type: application/json\r\nAuthorization: Bearer " .. token .. "\r\nContent-Length: "
    end
    for project = 1, tonumber(arguments[2]) do
        for _, toggle in ipairs({"true", "false"}) do
            local body = '{"project_id":"p' .. project .. '","vote_type":"up","toggle":' .. toggle .. '}'
            tails[#tails + 1] = #body .. "\r\n\r\n" .. body
        end
    end
end

function request()
    return heads[math.random(#heads)] .. tails[math.random(#tails)]
end

function done(summary, latency)
    local errors = summary.errors
    local broken = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format('{"accepted":%d,"refused":%d,"broken":%d,"seconds":%.6f,' ..
        '"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f}\n', summary.requests - errors.status, errors.status, broken,
        summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
