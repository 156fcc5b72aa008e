# server.sh - sourced by the server scripts: start a process of our own, know it again, stop it.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash

die() { echo "$*" >&2; exit 1; }

# Empty for a process that is gone, also when nobody has reaped it yet.
start_time() { awk '{ sub(/.*\) /, ""); if ($1 != "Z") print $20 }' "/proc/$1/stat" 2>/dev/null || true; }

# The pid file holds pid and start time, so that a stop never signals a stranger with a reused pid.
running_pid() {
    local pid since
    [[ -r $1/pid ]] && read -r pid since <"$1/pid" && [[ -n $since && $(start_time "$pid") == "$since" ]] || return 1
    echo "$pid"
}

launch() { # NAME DIR COMMAND...
    local name=$1 dir=$2 pid
    shift 2
    setsid "$@" >>"$dir/$name.log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$dir/pid"
}

port_holder() { # PORT: who listens there; nothing when nobody does
    local holder
    holder=$(ss -Hltnp "sport = :$1" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/pid \2 (\1)/p' | head -n 1)
    if [[ -z $holder ]] && (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then holder="another process"; fi
    echo "$holder"
}

# A process that was killed may take seconds to give its memory back, and its port with it.
refuse_taken_port() { # NAME PORT
    local holder deadline=$((SECONDS + 5))
    while holder=$(port_holder "$2") && [[ -n $holder ]]; do
        ((SECONDS < deadline)) || die "$1: port $2 is taken by $holder"
        sleep 0.2
    done
}

wait_until() { # NAME DIR SECONDS COMMAND...
    local name=$1 dir=$2 deadline=$((SECONDS + $3))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! running_pid "$dir" >/dev/null || ((SECONDS >= deadline)); then
            tail -n 20 "$dir/$name.log" >&2
            stop_server "$name" "$dir" TERM >/dev/null
            die "$name: not ready; its log is $dir/$name.log"
        fi
        sleep 0.1
    done
}

stop_server() { # NAME DIR SIGNAL
    local pid deadline=$((SECONDS + 12))
    if ! pid=$(running_pid "$2"); then
        echo "$1: not running"
        return
    fi
    kill "-$3" "$pid"
    while running_pid "$2" >/dev/null; do
        ((SECONDS < deadline)) || kill -KILL "$pid"
        sleep 0.05
    done
    rm -f "$2/pid"
    echo "$1: stopped"
}

status_server() { # NAME DIR
    local pid
    if pid=$(running_pid "$2"); then echo "$1: running, pid $pid"; else echo "$1: down"; return 1; fi
}
