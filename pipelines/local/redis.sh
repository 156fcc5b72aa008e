#!/usr/bin/env bash
# redis.sh - a private Redis: redis.sh start DIR PORT | stop DIR | status DIR
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=server.sh
. "$here/server.sh"

start() {
    local dir=$1 port=$2
    mkdir -p "$dir"
    if running_pid "$dir" >/dev/null; then echo "redis: already running"; return; fi
    command -v redis-server >/dev/null || die "redis: redis-server is not installed (make deps)"
    refuse_taken_port redis "$port"
    # No persistence: whatever Redis holds can be lost at any time, and is loaded again.
    launch redis "$dir" redis-server --port "$port" --bind 127.0.0.1 --dir "$dir" --save '' --appendonly no
    wait_until redis "$dir" 10 redis-cli -p "$port" ping
    echo "redis: ready on 127.0.0.1:$port"
}

case ${1:-} in
    start) start "$2" "$3" ;;
    stop) stop_server redis "$2" TERM ;;
    status) status_server redis "$2" ;;
    *) die "usage: redis.sh start DIR PORT | stop DIR | status DIR" ;;
esac
