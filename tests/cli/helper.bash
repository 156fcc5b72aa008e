# helper.bash - sourced by the tests of the command line. SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# TOOL is the tool under test, VOTE_BIN where the tools are. run_tool keeps stdout and stderr apart.
root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
bin=$(cd "$root/${VOTE_BIN:-build/bin}" && pwd)
build=${bin%/bin}

# Whatever the caller's stack is set to must not reach the tools.
forget_environment() {
    local name
    for name in $(compgen -v VOTE_); do
        [[ $name == VOTE_BIN ]] || unset "$name"
    done
}

run_tool() { # NAME ARGUMENT...: sets status, out and err
    local name=$1
    shift
    status=0
    timeout 60 "$bin/$name" "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
    out=$(<"$BATS_TEST_TMPDIR/out")
    err=$(<"$BATS_TEST_TMPDIR/err")
}

expect() { # STATUS
    if ((status != $1)); then
        printf 'status is %s, not %s\nstdout: %s\nstderr: %s\n' "$status" "$1" "$out" "$err"
        return 1
    fi
}

contains() { # TEXT PART
    [[ $1 == *"$2"* ]] || { printf 'no "%s" in: %s\n' "$2" "$1"; return 1; }
}

lacks() { # TEXT PART
    [[ $1 != *"$2"* ]] || { printf '"%s" is in: %s\n' "$2" "$1"; return 1; }
}

# The ways to call the tool: a tool of commands is called with each of them.
calls() {
    "$bin/$TOOL" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' | sed 's/^/'"$TOOL"' /' | grep . || echo "$TOOL"
}

first_call() { calls | head -n 1; }

complete_line() { # WORD...: what bash offers for the last of the words, a line each
    # shellcheck disable=SC1090
    . "$build/completion/$1"
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    "_${1//-/_}"
    printf '%s\n' "${COMPREPLY[@]}"
}
