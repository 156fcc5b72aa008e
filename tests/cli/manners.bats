#!/usr/bin/env bats
# manners.bats - what every tool does alike, without a server: TOOL=vote-tail bats tests/cli/manners.bats
# SPDX-License-Identifier: Apache-2.0
load helper

setup() {
    : "${TOOL:?names the tool under test}"
    forget_environment
    export VOTE_JWT_SECRET="a secret that is only for tests, 32+" # some do not look further without one
    read -ra call < <(first_call)
}

@test "--help fits a screen of 80 columns and 24 lines" {
    local line
    while read -ra line; do
        run_tool "${line[@]}" --help
        expect 0
        [[ -z $err ]]
        awk -v call="${line[*]}" 'length > 80 { print call ": " $0; bad = 1 } END { if (NR > 24) print call ": " NR " lines"
            exit bad || NR > 24 }' "$BATS_TEST_TMPDIR/out"
    done < <(calls)
    run_tool "$TOOL" --help
    awk 'length > 80 { print; bad = 1 } END { exit bad || NR > 24 }' "$BATS_TEST_TMPDIR/out"
}

@test "--help=all tells what each flag is" {
    local line
    while read -ra line; do
        run_tool "${line[@]}" --help=all
        expect 0
        contains "$out" "--log-format FORMAT"
        lacks "$out" "Also:"
    done < <(calls)
}

@test "--version names the tool" {
    run_tool "$TOOL" --version
    expect 0
    [[ $out =~ ^$TOOL\ [0-9]+\.[0-9]+ ]]
}

@test "an unknown flag is a mistake, and named" {
    local line
    while read -ra line; do
        run_tool "${line[@]}" --no-such-flag
        expect 64
        [[ -z $out && $err == "$TOOL: fatal:"*--no-such-flag* ]]
    done < <(calls)
}

@test "a flag without its value is a mistake, and named" {
    run_tool "${call[@]}" --log-level
    expect 64
    contains "$err" "--log-level needs a value"
}

@test "a bad value of a flag is a mistake, and named" {
    run_tool "${call[@]}" --log-level loud
    expect 64
    contains "$err" "--log-level: \"loud\" is none of debug, info"
}

@test "a bad value of a variable is a wrong setting, and named" {
    export VOTE_LOG_LEVEL=loud
    run_tool "${call[@]}"
    expect 78
    contains "$err" "VOTE_LOG_LEVEL: \"loud\""
}

@test "more words than the tool takes are a mistake" {
    run_tool "${call[@]}" a b c d e f
    expect 64
    [[ $err == "$TOOL: fatal:"* ]]
}

@test "a flag wins over its variable, which wins over the preset" {
    run_tool "${call[@]}" --print-config
    contains "$out" "log-level=info  # preset"
    export VOTE_LOG_LEVEL=warn
    run_tool "${call[@]}" --print-config
    contains "$out" "log-level=warn  # environment"
    run_tool "${call[@]}" --print-config --log-level error
    expect 0
    contains "$out" "log-level=error  # flag"
}

@test "--print-config shows no secret and no password" {
    local line
    export VOTE_DATABASE_URL=postgresql://u:hidden@127.0.0.1:1/d VOTE_REDIS_URL=redis://:hidden@127.0.0.1:1
    while read -ra line; do
        run_tool "${line[@]}" --print-config
        lacks "$out$err" hidden
        lacks "$out$err" "only for tests"
    done < <(calls)
}

@test "the man page has the sections of one, and every flag of --help" {
    local section flag line page=$build/man/$TOOL.1 text
    text=$(sed 's/\\-/-/g' "$page")
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS "EXIT STATUS"; do contains "$text" ".SH $section"; done
    contains "$text" ".TH ${TOOL^^} 1"
    while read -ra line; do
        run_tool "${line[@]}" --help=all
        for flag in $(grep -oE -- '--[a-z][a-z-]+' <<<"${out%Other:*}" | sort -u); do contains "$text" "$flag"; done
    done < <(calls)
}

@test "the man page says what each exit status means" {
    local text code
    text=$(sed -n '/^\.SH EXIT STATUS/,/^\.SH [^E]/p' "$build/man/$TOOL.1")
    for code in 0 64 69 78; do grep -qw "$code" <<<"$text" || { echo "no $code in: $text"; return 1; }; done
}

@test "the completion is bash that shellcheck finds nothing in" {
    bash -n "$build/completion/$TOOL"
    if command -v shellcheck >/dev/null; then shellcheck "$build/completion/$TOOL"; fi
}

@test "the completion offers every flag of --help" {
    local line flag offered
    while read -ra line; do
        offered=$(complete_line "${line[@]}" --)
        run_tool "${line[@]}" --help=all
        for flag in $(grep -oE -- '--[a-z][a-z-]+' <<<"${out%Other:*}" | sort -u); do
            [[ $flag == --kafka-brokers-is ]] || grep -qx -- "$flag" <<<"$offered" || { echo "${line[*]}: no $flag"; return 1; }
        done
    done < <(calls)
}

@test "the completion offers the choices of a flag, behind a blank or an equals sign" {
    [[ $(complete_line "${call[@]}" --log-format "") == $'logfmt\njson' ]]
    [[ $(complete_line "${call[@]}" --log-format js) == json ]]
    [[ $(complete_line "${call[@]}" --log-format =) == $'logfmt\njson' ]]
    [[ $(complete_line "${call[@]}" --log-format = log) == logfmt ]]
}
