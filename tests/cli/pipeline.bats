#!/usr/bin/env bats
# pipeline.bats - exit codes and output of each tool beside real servers: tests/cli/servers.py bats tests/cli/pipeline.bats
# SPDX-License-Identifier: Apache-2.0
load helper

setup() { : "${VOTE_URL:?tests/cli/servers.py sets it}"; }

post() { # USER PROJECT TYPE: the request id
    local token
    token=$("$bin/vote-admin" token --user "$1")
    curl -sS --max-time 20 -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        -d "{\"project_id\":\"$2\",\"vote_type\":\"$3\",\"toggle\":false}" "$VOTE_URL/api/votes" |
        sed -n 's/.*"request_id":"\([^"]*\)".*/\1/p'
}

project() { # NAME: makes it
    printf 'project_id,owner_id\n%s,\n' "$1" | "$bin/vote-admin" projects import -
}

committed() { # REQUEST: waits for it
    local tries=0
    until "$bin/vote-admin" trace "$1" 2>/dev/null | grep -q 'in Postgres'; do
        ((++tries < 100))
        sleep 0.1
    done
}

run_input() { # TEXT NAME ARGUMENT...: as run_tool, with stdin
    local text=$1 name=$2
    shift 2
    status=0
    out=$(printf '%s' "$text" | "$bin/$name" "$@" 2>"$BATS_TEST_TMPDIR/err") || status=$?
    err=$(<"$BATS_TEST_TMPDIR/err")
}

daemon_ends_cleanly() { # NAME ARGUMENT...: starts, is ready, and ends with 0 on SIGTERM
    local name=$1 port=${UNUSED_PORTS% *} pid tries=0
    shift
    "$bin/$name" --admin-listen "127.0.0.1:$port" "$@" >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- &
    pid=$!
    until curl -sf -o /dev/null "http://127.0.0.1:$port/readyz"; do
        ((++tries < 200)) && kill -0 "$pid" || { cat "$BATS_TEST_TMPDIR/log"; return 1; }
        sleep 0.1
    done
    kill -TERM "$pid"
    wait "$pid"
}

@test "vote-admin migrate and topics do nothing twice: 0" {
    run_tool vote-admin migrate
    expect 0
    contains "$out" "up to date"
    run_tool vote-admin topics
    expect 0
    contains "$out" "vote.requests has 6 partitions"
}

@test "vote-admin projects import names the line that is wrong: 65" {
    run_input $'project_id,owner_id\ngood,\nbad one,\n' vote-admin projects import -
    expect 65
    contains "$err" "line 3: project_id"
}

@test "vote-admin projects export is taken back by import" {
    project exported
    run_tool vote-admin projects export
    expect 0
    contains "$out" $'\nexported,'
    run_input "$out" vote-admin projects import -
    expect 0
    contains "$out" "(0 new)"
}

@test "vote-admin token prints a token and nothing else" {
    run_tool vote-admin token --user u1
    expect 0
    [[ $out =~ ^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$ && -z $err ]]
}

@test "vote-admin trace tells the life of a vote, and of none: 0 and 1" {
    project traced
    request=$(post u1 traced up)
    committed "$request"
    run_tool vote-admin trace "$request"
    expect 0
    contains "$out" "request $request: committed"
    run_tool vote-admin trace 00000000-0000-4000-8000-000000000000
    expect 1
    contains "$err" "is unknown"
}

@test "vote-admin lag is 0 within --max-lag, and 1 beyond" {
    project lagging
    committed "$(post u1 lagging up)"
    run_tool vote-admin lag --max-lag 1h
    expect 0
    contains "$out" "vote-commit"
    kill -STOP "$COMMIT_PID"
    post u2 lagging up
    sleep 0.2 # so old is the vote then
    run_tool vote-admin lag --max-lag 10ms
    kill -CONT "$COMMIT_PID"
    expect 1
    contains "$err" "s behind"
}

@test "vote-admin stats is text or JSON" {
    run_tool vote-admin stats
    expect 0
    contains "$out" "Outcomes"
    run_tool vote-admin stats --format json
    expect 0
    /usr/bin/python3 -c 'import json, sys; json.loads(sys.argv[1])["latency_ms"]["p99"]' "$out"
}

@test "vote-admin audit is clean: 0" {
    run_tool vote-admin audit
    expect 0
    contains "$out" "audit: clean"
}

@test "vote-admin forget-user refuses without --yes: 64, and forgets with it: 0" {
    project forgotten
    committed "$(post gone forgotten up)"
    run_tool vote-admin forget-user gone
    expect 64
    contains "$err" "--yes"
    run_tool vote-admin forget-user gone --dry-run
    expect 0
    contains "$out" "nothing was changed"
    run_tool vote-admin forget-user gone --yes
    expect 0
    run_tool vote-admin forget-user gone --dry-run
    contains "$out" "gone has votes on 0 projects"
}

@test "vote-admin forget-user that is not granted in time is to be tried again: 75" {
    kill -STOP "$COMMIT_PID"
    run_tool vote-admin forget-user late --yes --timeout 100ms
    kill -CONT "$COMMIT_PID"
    expect 75
    contains "$err" "it will"
}

@test "servers that are away are named: 69" {
    run_tool vote-admin migrate --database-url postgresql://votepipe@127.0.0.1:1/votepipe
    expect 69
    contains "$err" "unable to connect to postgres"
    run_tool vote-admin topics --kafka-brokers 127.0.0.1:1
    expect 69
    contains "$err" "kafka 127.0.0.1:1"
    run_tool vote-tail --kafka-brokers 127.0.0.1:1
    expect 69
    contains "$err" "kafka 127.0.0.1:1"
}

@test "vote-tail prints records, and 64 for a topic that is none" {
    project tailed
    request=$(post u1 tailed up)
    run_tool vote-tail -t requests -o start --request "$request" --format json
    expect 0
    contains "$out" "\"request_id\":\"$request\""
    run_tool vote-tail -t no.such.topic
    expect 64
}

@test "vote-tail shows a wish to be forgotten as what it is" {
    run_tool vote-tail -t requests -o start
    expect 0
    contains "$out" "vote.user.forgotten.v1"
}

@test "vote-tail ends quietly when the pipe is closed: 0" {
    "$bin/vote-tail" -t requests -o start | head -n 1
    [[ ${PIPESTATUS[0]} == 0 ]]
}

@test "vote-load posts a file and verifies it: 0; a bad line is named: 65; no server: 69" {
    project loaded
    printf 'timestamp,user_id,project_id,vote_type\n1,u1,loaded,up\n2,u2,loaded,down\n' >"$BATS_TEST_TMPDIR/votes.csv"
    run_tool vote-load --file "$BATS_TEST_TMPDIR/votes.csv" --verify
    expect 0
    contains "$out" "0 differ"
    run_tool vote-load --file "$BATS_TEST_TMPDIR/votes.csv" --url http://127.0.0.1:1 --retry-for 100ms
    expect 69
    printf '3,u 3,loaded,up\n' >>"$BATS_TEST_TMPDIR/votes.csv"
    run_tool vote-load --file "$BATS_TEST_TMPDIR/votes.csv"
    expect 65
    contains "$err" "line 4, column 2: user_id"
}

@test "vote-ingest starts and ends cleanly: 0" {
    daemon_ends_cleanly vote-ingest --listen "127.0.0.1:${UNUSED_PORTS#* }"
}

@test "vote-commit starts and ends cleanly: 0" {
    daemon_ends_cleanly vote-commit --group cli-test
}

@test "vote-notify starts and ends cleanly: 0" {
    daemon_ends_cleanly vote-notify --listen "127.0.0.1:${UNUSED_PORTS#* }"
}

@test "a daemon without its secret does not start: 78" {
    unset VOTE_JWT_SECRET
    run_tool vote-ingest --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0
    expect 78
    contains "$err" "VOTE_JWT_SECRET is not set"
}
