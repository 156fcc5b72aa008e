-- post.lua - the same small POST again and again. SPDX-License-Identifier: Apache-2.0
wrk.method = "POST"
wrk.body = '{"project_id":"p1","vote_type":"up","toggle":true}'
wrk.headers["Content-Type"] = "application/json"
