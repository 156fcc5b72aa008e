-- votes.lua - what wrk sends: wrk -s votes.lua URL -- TOKENS PROJECTS. SPDX-License-Identifier: Apache-2.0
--
-- Each thread picks user, project and toggle by a random of its own, seeded with its number, so that
-- every server gets the same votes. `done` prints one line of JSON.
local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
    thread:set("seed", #threads)
end

local heads, tails = {}, {}

function init(arguments)
    math.randomseed(seed)
    accepted, refused, refusal = 0, 0, ""
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

function response(status, _, body)
    if status == 202 then
        accepted = accepted + 1
    else
        refused, refusal = refused + 1, status .. " " .. body:sub(1, 200):gsub('[%c"\\]', " ")
    end
end

function done(summary, latency)
    local taken, not_taken, example = 0, 0, ""
    for _, thread in ipairs(threads) do
        taken, not_taken = taken + thread:get("accepted"), not_taken + thread:get("refused")
        if thread:get("refusal") ~= "" then example = thread:get("refusal") end
    end
    local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format('{"accepted":%d,"refused":%d,"refusal":"%s","broken":%d,"seconds":%.6f,' ..
        '"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f}\n', taken, not_taken, example, broken, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
