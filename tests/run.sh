#!/usr/bin/env bash
# run.sh - runs the tests of a build and ends with `N passed, N failed`: run.sh BUILD [unit]
# SPDX-License-Identifier: Apache-2.0
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70
build=$1
work=$(mktemp -d) parts=()
trap 'rm -rf "$work"' EXIT

tell() { # PASSED FAILED: of one runner, for the closing line
    echo "$1 $2" >>"$work/counts.$BASHPID"
}

count() { # PATTERN FILE: the number before the word in a runner's closing line
    grep -E ' in [0-9.]+s( |$)' "$2" | tail -n 1 | grep -oE "[0-9]+ $1" | awk '{ n += $1 } END { print n + 0 }'
}

run_units() { # a fuzz target is given its seed corpus, a unit test nothing
    local unit inputs code bad output=$work/units
    for unit in "$build"/unit/test_* "$build"/unit/fuzz_*; do
        [[ -x $unit && $unit != *.d ]] || continue
        inputs=(tests/fuzz/corpus/"${unit##*/}"/*)
        [[ -e ${inputs[0]} ]] || inputs=()
        "$unit" "${inputs[@]}" >"$output" 2>&1
        code=$?
        bad=$(grep -cE '\[  FAILED  \] [a-z_0-9]+$' "$output")
        if ((code != 0)); then
            cat "$output"
            ((bad > 0)) || bad=1
        fi
        tell "$(grep -c '\[       OK \]' "$output")" "$bad"
    done
    if tests/unit/test_layers.sh; then tell 1 0; else tell 0 1; fi
}

run_pytest() { # FILE or DIRECTORY...: their tests, with servers of their own
    local code bad output=$work/pytest.$BASHPID
    VOTE_BIN=$build/bin SOCKETIO_SERVER=$build/test/socketio \
        /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider "$@" 2>&1 | tee "$output"
    code=${PIPESTATUS[0]}
    bad=$(($(count failed "$output") + $(count error "$output")))
    ((code == 0 || bad > 0)) || bad=1
    tell "$(count passed "$output")" "$bad"
}

run_vitest() { # the hooks and the client
    [[ -d lib/web/node_modules/vitest ]] || { echo "lib/web is not tested: node and npm are not installed"; return; }
    local result=$work/vitest
    (cd lib/web && npx --no-install vitest run --reporter=default --reporter=json --outputFile="$result") || true
    tell "$(node -p "JSON.parse(fs.readFileSync('$result')).numPassedTests" || echo 0)" \
        "$(node -p "const r = JSON.parse(fs.readFileSync('$result')); r.success ? 0 : Math.max(1, r.numFailedTests)" || echo 1)"
}

run_bats() { # COMMAND...: what it prints as TAP
    local code bad output=$work/bats
    VOTE_BIN=$build/bin "$@" 2>&1 | tee "$output"
    code=${PIPESTATUS[0]}
    bad=$(grep -cE '^not ok ' "$output")
    ((code == 0 || bad > 0)) || bad=1
    tell "$(grep -cE '^ok ' "$output")" "$bad"
}

# The command line: what all tools do alike, for each that was built, then each beside servers.
run_cli() {
    local tool
    for tool in "$build"/bin/vote-*; do
        echo "# ${tool##*/}"
        run_bats env TOOL="${tool##*/}" bats --tap tests/cli/manners.bats
    done
    run_bats bats --tap tests/cli/completion.bats
    run_bats tests/cli/servers.py bats --tap tests/cli/pipeline.bats
}

# Tests mostly wait: so three parts go side by side, each with servers of its own.
run_part1() {
    run_pytest tests/integration/test_[a-o]*.py
    run_pytest tests/monitoring
}
run_part2() { run_pytest tests/integration/test_[p-z]*.py; run_pytest tests/e2e; }
run_part3() {
    run_vitest
    run_cli
    run_pytest tests/k8s
    run_pytest tests/socketio
    run_pytest tests/fault
}

interrupt() { local part; for part in "${parts[@]}"; do kill -INT -- "-$part" 2>/dev/null; done; }

run_units
if [[ ${2:-} != unit ]]; then
    # In groups of their own they can be interrupted as the first is, from a terminal; each is printed whole, in its turn.
    set -m
    for part in 2 3; do
        "run_part$part" >"$work/part$part" 2>&1 &
        parts+=($!)
    done
    set +m
    trap interrupt INT TERM HUP
    run_part1
    wait "${parts[@]}"
    cat "$work"/part[23]
fi
read -r passed failed <<<"$(cat "$work"/counts.* | awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }')"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
