#!/usr/bin/env bash
# up.sh - brings the local stack up; what is already done is not done again. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"
mkdir -p "$run"
exec 9>"$run/.lock"
flock -n 9 || die "up: another make up of $run is at work"
echo "${PORT_BASE:-}" >"$run/ports"

"$local_dir/postgres.sh" start "$run/postgres" "$PORT_POSTGRES"
"$local_dir/redis.sh" start "$run/redis" "$PORT_REDIS"
"$local_dir/kafka.sh" start "$run/kafka" "$PORT_KAFKA" "$PORT_CONTROLLER"

if [[ ! -s $run/env ]]; then
    (umask 077 && cat >"$run/env" <<ENV
export VOTE_URL=http://127.0.0.1:$PORT_API
export VOTE_NOTIFY_URL=http://127.0.0.1:$PORT_NOTIFY
export VOTE_KAFKA_BROKERS=127.0.0.1:$PORT_KAFKA
export VOTE_REDIS_URL=redis://127.0.0.1:$PORT_REDIS
export VOTE_DATABASE_URL=postgresql://votepipe@127.0.0.1:$PORT_POSTGRES/votepipe
export VOTE_JWT_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export PATH="$root/build/bin:\$PATH"
ENV
    )
fi
# shellcheck disable=SC1091
. "$run/env"
vote-admin migrate
vote-admin topics
vote-admin projects import "$local_dir/projects.csv"

[[ ! -e $page/index.html ]] || export VOTE_WEB_ROOT=$page
for tool in "${tools[@]}"; do
    read -r name admin_port arguments <<<"$tool"
    dir=$run/$name
    mkdir -p "$dir"
    if running_pid "$dir" >/dev/null && [[ $dir/pid -nt $root/build/bin/$name ]] &&
        [[ $name != vote-ingest || ! $page/index.html -nt $dir/pid ]]; then
        echo "$name: already running"
    else
        stop_server "$name" "$dir" TERM >/dev/null
        refuse_taken_port "$name" "$admin_port"
        # shellcheck disable=SC2086
        launch "$name" "$dir" "$root/build/bin/$name" $arguments
    fi
    wait_until "$name" "$dir" 30 curl -sf -o /dev/null "http://127.0.0.1:$admin_port/readyz"
    echo "$name: ready"
done

echo
if [[ -e $page/index.html ]]; then
    echo "Page       http://127.0.0.1:$PORT_API/"
else
    echo "Page       left out: node or npm was not there to build it (make web)"
fi
cat <<SAY
API        http://127.0.0.1:$PORT_API
Socket.IO  http://127.0.0.1:$PORT_NOTIFY
Metrics    http://127.0.0.1:$PORT_ADMIN_INGEST/metrics (ingest), http://127.0.0.1:$PORT_ADMIN_COMMIT/metrics (commit),
           http://127.0.0.1:$PORT_ADMIN_INVALIDATE/metrics (invalidate), http://127.0.0.1:$PORT_ADMIN_NOTIFY/metrics (notify)
Kafka      127.0.0.1:$PORT_KAFKA    Postgres 127.0.0.1:$PORT_POSTGRES    Redis 127.0.0.1:$PORT_REDIS
Logs       ${run#"$root"/}/*/*.log (make logs$which)

Vote:      . ${run#"$root"/}/env
           curl -H "Authorization: Bearer \$(vote-admin token --user u1)" -H 'Content-Type: application/json' \\
                -d '{"project_id":"p1","vote_type":"up"}' \$VOTE_URL/api/votes
Stop:      make down$which
SAY
