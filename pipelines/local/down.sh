#!/usr/bin/env bash
# down.sh - stops the local stack: the tools first, then the servers they need. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"
[[ ! -d $run/prometheus ]] || "$local_dir/prometheus.sh" stop "$run/prometheus"
for ((i = ${#tools[@]} - 1; i >= 0; i--)); do
    name=${tools[i]%% *}
    stop_server "$name" "$run/$name" TERM
done
for ((i = ${#servers[@]} - 1; i >= 0; i--)); do
    "$local_dir/${servers[i]}.sh" stop "$run/${servers[i]}"
done
