#!/usr/bin/env bash
# status.sh - one line a process of the local stack; exit 1 when something is down. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"
down=0

line() { # NAME PORT READY_COMMAND...
    local name=$1 port=$2 pid ready=no
    shift 2
    if ! pid=$(running_pid "$run/$name"); then
        down=1
        printf '%-15s down\n' "$name"
        return
    fi
    if "$@" >/dev/null 2>&1; then ready=yes; else down=1; fi
    printf '%-15s up    pid %-8s port %-6s ready %s\n' "$name" "$pid" "$port" "$ready"
}

# shellcheck disable=SC2317 # line calls it
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

line postgres "$PORT_POSTGRES" listens "$PORT_POSTGRES"
line redis "$PORT_REDIS" listens "$PORT_REDIS"
line kafka "$PORT_KAFKA" listens "$PORT_KAFKA"
for tool in "${tools[@]}"; do
    read -r name port _ <<<"$tool"
    line "$name" "$port" curl -sf "http://127.0.0.1:$port/readyz"
done
exit $down
