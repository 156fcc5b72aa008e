# stack.sh - sourced: where a stack lives, its ports and its tools. RUN and PORT_BASE choose another one.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
local_dir=$root/pipelines/local
run=${RUN:-build/run}
[[ $run == /* ]] || run=$root/$run
which=${RUN:+ RUN=$RUN} # as make is told
# shellcheck source-path=SCRIPTDIR source=server.sh
. "$local_dir/server.sh"

# A stack keeps the ports it was made with.
if [[ -r $run/ports ]]; then
    kept=$(<"$run/ports")
    [[ -z ${PORT_BASE:-} || $kept == "$PORT_BASE" ]] || die "$run was made with PORT_BASE=${kept:-(default)}: make down and remove it first"
    PORT_BASE=$kept
fi
if [[ -n ${PORT_BASE:-} ]]; then
    PORT_API=$PORT_BASE PORT_NOTIFY=$((PORT_BASE + 1)) PORT_ADMIN_INGEST=$((PORT_BASE + 2))
    PORT_ADMIN_COMMIT=$((PORT_BASE + 3)) PORT_ADMIN_INVALIDATE=$((PORT_BASE + 4)) PORT_ADMIN_NOTIFY=$((PORT_BASE + 5)) PORT_KAFKA=$((PORT_BASE + 6)) PORT_CONTROLLER=$((PORT_BASE + 7))
    PORT_POSTGRES=$((PORT_BASE + 8)) PORT_REDIS=$((PORT_BASE + 9)) PORT_PROMETHEUS=$((PORT_BASE + 10))
else
    PORT_API=8080 PORT_NOTIFY=8081 PORT_ADMIN_INGEST=9101 PORT_ADMIN_COMMIT=9102 PORT_ADMIN_INVALIDATE=9103 PORT_ADMIN_NOTIFY=9104
    PORT_KAFKA=19092 PORT_CONTROLLER=19093 PORT_POSTGRES=15432 PORT_REDIS=16379 PORT_PROMETHEUS=9090
fi

page=$root/build/web # made where there is node
site=http://127.0.0.1:8000,http://localhost:8000 # pages that are being written: lib/web/plain

# name, admin port, command
tools=(
    "vote-ingest $PORT_ADMIN_INGEST --listen 127.0.0.1:$PORT_API --admin-listen 127.0.0.1:$PORT_ADMIN_INGEST --dev-tokens --cors-origins $site"
    "vote-commit $PORT_ADMIN_COMMIT --admin-listen 127.0.0.1:$PORT_ADMIN_COMMIT"
    "vote-invalidate $PORT_ADMIN_INVALIDATE --admin-listen 127.0.0.1:$PORT_ADMIN_INVALIDATE"
    "vote-notify $PORT_ADMIN_NOTIFY --listen 127.0.0.1:$PORT_NOTIFY --admin-listen 127.0.0.1:$PORT_ADMIN_NOTIFY --cors-origins http://127.0.0.1:$PORT_API,http://localhost:$PORT_API,$site"
)
servers=(postgres redis kafka)
