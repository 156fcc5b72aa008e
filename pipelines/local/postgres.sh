#!/usr/bin/env bash
# postgres.sh - a private Postgres: postgres.sh start DIR PORT | stop DIR | status DIR
# User and database are `votepipe`, trusted on loopback. POSTGRES_SETTINGS adds settings, of which the last one of a name
# counts: POSTGRES_SETTINGS="shared_buffers=4GB max_wal_size=16GB". SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=server.sh
. "$here/server.sh"

bin_directory() {
    local found
    found=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
    [[ -n $found ]] || die "postgres: no server is installed (make deps)"
    echo "$found"
}

# Postgres refuses to run as root. Then it runs as the system's postgres user, if that user can reach
# the directory; otherwise in a user namespace in which root is somebody else.
choose_user() {
    as=()
    [[ $(id -u) == 0 ]] || return 0
    if id postgres >/dev/null 2>&1 && setpriv --reuid postgres --regid postgres --clear-groups test -x "$1"; then
        as=(setpriv --reuid postgres --regid postgres --clear-groups)
        chown -R postgres:postgres "$1"
    elif unshare --user --map-user=1000 --map-group=1000 true 2>/dev/null; then
        as=(unshare --user --map-user=1000 --map-group=1000)
    else
        die "postgres: cannot run as root, and no other user can reach $1: name another folder, as in make up RUN=/var/lib/votepipe"
    fi
}

start() {
    local dir=$1 port=$2 bin as settings
    if running_pid "$dir" >/dev/null; then echo "postgres: already running"; return; fi
    bin=$(bin_directory)
    mkdir -p "$dir/data"
    dir=$(cd "$dir" && pwd)
    refuse_taken_port postgres "$port"
    choose_user "$dir"
    chmod 700 "$dir/data"
    cd "$dir"
    if [[ ! -s data/PG_VERSION ]]; then
        "${as[@]}" "$bin/initdb" -D "$dir/data" -U votepipe --auth=trust -E UTF8 --locale=C.UTF-8 \
            --data-checksums >initdb.log 2>&1 || { cat initdb.log >&2; die "postgres: initdb failed"; }
    fi
    rm -f data/postmaster.pid # of a server that was killed: running_pid has said it is gone
    read -ra settings <<<"${POSTGRES_SETTINGS:-}"
    launch postgres "$dir" "${as[@]}" "$bin/postgres" -D "$dir/data" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c fsync=on -c max_connections=200 -c shared_buffers=128MB "${settings[@]/#/-c}"
    wait_until postgres "$dir" 30 "$bin/pg_isready" -h 127.0.0.1 -p "$port"
    "$bin/createdb" -h 127.0.0.1 -p "$port" -U votepipe votepipe 2>>"$dir/createdb.log" || true
    echo "postgres: ready on 127.0.0.1:$port"
}

case ${1:-} in
    start) start "$2" "$3" ;;
    stop) stop_server postgres "$2" INT ;; # fast shutdown: does not wait for clients
    status) status_server postgres "$2" ;;
    *) die "usage: postgres.sh start DIR PORT | stop DIR | status DIR" ;;
esac
