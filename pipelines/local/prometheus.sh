#!/usr/bin/env bash
# prometheus.sh - a private Prometheus with the rules of k8s/monitoring:
# prometheus.sh start DIR PORT STAGE=HOST:PORT... | stop DIR | status DIR; PROMETHEUS_INTERVAL is how often it looks.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=server.sh
. "$here/server.sh"

configure() { # STAGE=HOST:PORT...
    local interval=${PROMETHEUS_INTERVAL:-5s} target
    cat <<YAML
global: {scrape_interval: $interval, scrape_timeout: $interval, evaluation_interval: $interval}
rule_files: [rules.yaml]
scrape_configs:
YAML
    for target; do
        printf '  - job_name: %s\n    static_configs: [{targets: ["%s"]}]\n' "${target%%=*}" "${target#*=}"
    done
}

start() {
    local dir=$1 port=$2
    shift 2
    mkdir -p "$dir"
    if running_pid "$dir" >/dev/null; then echo "prometheus: already running"; return; fi
    command -v prometheus >/dev/null || die "prometheus: it is not installed (make deps)"
    "$here/../../k8s/monitoring/plain.sh" >"$dir/rules.yaml"
    configure "$@" >"$dir/prometheus.yaml"
    refuse_taken_port prometheus "$port"
    launch prometheus "$dir" prometheus --config.file "$dir/prometheus.yaml" --storage.tsdb.path "$dir/data" \
        --storage.tsdb.retention.time 7d --web.listen-address "127.0.0.1:$port" --log.level warn
    wait_until prometheus "$dir" 60 curl -sf -o /dev/null "http://127.0.0.1:$port/-/ready"
    echo "prometheus: ready on 127.0.0.1:$port"
}

case ${1:-} in
    start) start "${@:2}" ;;
    stop) stop_server prometheus "$2" TERM ;;
    status) status_server prometheus "$2" ;;
    *) die "usage: prometheus.sh start DIR PORT STAGE=HOST:PORT... | stop DIR | status DIR" ;;
esac
