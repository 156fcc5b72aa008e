#!/usr/bin/env bash
# watch.sh - a Prometheus that looks at the local stack; make down ends it. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"
targets=()
for tool in "${tools[@]}"; do
    read -r name admin_port _ <<<"$tool"
    targets+=("$name=127.0.0.1:$admin_port")
done
"$local_dir/prometheus.sh" start "$run/prometheus" "$PORT_PROMETHEUS" "${targets[@]}"
cat <<SAY

Graphs     http://127.0.0.1:$PORT_PROMETHEUS/graph
Alerts     http://127.0.0.1:$PORT_PROMETHEUS/alerts (what each means: pipelines/runbook.md)
Stop       make down$which
SAY
