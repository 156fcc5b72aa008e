#!/usr/bin/env bash
# run.sh - lets libFuzzer work on each target for a while: run.sh BUILD SECONDS
#
# What it finds worth keeping stays in BUILD/corpus-TARGET for the next run; the tree's corpus is
# only read. SPDX-License-Identifier: Apache-2.0
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 70
build=$1 seconds=$2
failed=0
for target in "$build"/bin/fuzz_*; do
    name=${target##*/}
    corpus=$build/corpus-$name log=$build/$name.log
    mkdir -p "$corpus"
    cp tests/fuzz/corpus/"$name"/* "$corpus" || exit 70
    rm -f "$build/$name"-*
    if "$target" -max_total_time="$seconds" -max_len=20000 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$build/$name-" "$corpus" >"$log" 2>&1; then
        rate=$(awk '/average_exec_per_sec/ { print $2 }' "$log")
        echo "$name: ${seconds}s, $rate executions/s, nothing found"
    else
        tail -n 40 "$log"
        echo "$name: FAILED; the input is kept in $(echo "$build/$name"-*), the log in $log"
        failed=$((failed + 1))
    fi
done
((failed == 0))
