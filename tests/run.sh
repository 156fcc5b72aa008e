#!/usr/bin/env bash
# run.sh - runs the tests of a build and ends with `N passed, N failed`: run.sh BUILD [unit]
# SPDX-License-Identifier: Apache-2.0
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70
build=$1
passed=0 failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

count() { # PATTERN: the number before the word in a runner's closing line
    grep -E ' in [0-9.]+s( |$)' "$output" | tail -n 1 | grep -oE "[0-9]+ $1" | awk '{ n += $1 } END { print n + 0 }'
}

# A fuzz target is given its seed corpus, a unit test nothing.
for unit in "$build"/unit/test_* "$build"/unit/fuzz_*; do
    [[ -x $unit && $unit != *.d ]] || continue
    inputs=(tests/fuzz/corpus/"${unit##*/}"/*)
    [[ -e ${inputs[0]} ]] || inputs=()
    "$unit" "${inputs[@]}" >"$output" 2>&1
    code=$?
    ok=$(grep -c '\[       OK \]' "$output")
    bad=$(grep -cE '\[  FAILED  \] [a-z_0-9]+$' "$output")
    if ((code != 0)); then
        cat "$output"
        ((bad > 0)) || bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad))
done

if tests/unit/test_layers.sh; then passed=$((passed + 1)); else failed=$((failed + 1)); fi

run_pytest() { # DIRECTORY: its tests, with servers of their own
    local code bad
    VOTE_BIN=$build/bin SOCKETIO_SERVER=$build/test/socketio \
        /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider "$1" 2>&1 | tee "$output"
    code=${PIPESTATUS[0]}
    passed=$((passed + $(count passed)))
    bad=$(($(count failed) + $(count error)))
    ((code == 0 || bad > 0)) || bad=1
    failed=$((failed + bad))
}

run_vitest() { # the hooks and the client
    [[ -d lib/web/node_modules/vitest ]] || { echo "lib/web is not tested: node and npm are not installed"; return; }
    local result
    result=$(mktemp)
    (cd lib/web && npx --no-install vitest run --reporter=default --reporter=json --outputFile="$result") || true
    passed=$((passed + $(node -p "JSON.parse(fs.readFileSync('$result')).numPassedTests" || echo 0)))
    failed=$((failed + $(node -p "const r = JSON.parse(fs.readFileSync('$result')); r.success ? 0 : Math.max(1, r.numFailedTests)" || echo 1)))
    rm -f "$result"
}

run_bats() { # COMMAND...: what it prints as TAP
    local code bad
    VOTE_BIN=$build/bin "$@" 2>&1 | tee "$output"
    code=${PIPESTATUS[0]}
    passed=$((passed + $(grep -cE '^ok ' "$output")))
    bad=$(grep -cE '^not ok ' "$output")
    ((code == 0 || bad > 0)) || bad=1
    failed=$((failed + bad))
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

if [[ ${2:-} != unit ]]; then
    run_vitest
    run_cli
    run_pytest tests/socketio
    run_pytest tests/integration
    run_pytest tests/fault
    run_pytest tests/e2e
    run_pytest tests/k8s
fi
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
