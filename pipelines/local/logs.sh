#!/usr/bin/env bash
# logs.sh - follows every log of the local stack on a terminal; elsewhere prints their last N lines (50).
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"
shopt -s nullglob
logs=("$run"/*/{postgres,redis,kafka,vote-ingest,vote-commit,vote-invalidate,vote-notify}.log)
((${#logs[@]})) || die "logs: there is no stack in $run (make up)"
if [[ -t 1 ]]; then exec tail -n "${N:-50}" -F "${logs[@]}"; else exec tail -n "${N:-50}" "${logs[@]}"; fi
