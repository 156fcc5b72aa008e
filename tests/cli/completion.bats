#!/usr/bin/env bats
# completion.bats - what bash offers that is of one tool alone. SPDX-License-Identifier: Apache-2.0
load helper

@test "vote-admin completes its commands" {
    local offered
    offered=$(complete_line vote-admin "")
    for command in migrate topics token projects lag stats trace audit forget-user; do grep -qx -- "$command" <<<"$offered"; done
    [[ $(complete_line vote-admin fo) == forget-user ]]
}

@test "vote-admin projects completes its verbs" {
    [[ $(complete_line vote-admin projects "") == $'import\nexport' ]]
    [[ $(complete_line vote-admin projects e) == export ]]
}

@test "vote-admin completes the flags of the command that was given" {
    [[ $(complete_line vote-admin forget-user --dr) == --dry-run ]]
    [[ $(complete_line vote-admin lag --max) == --max-lag ]]
    [[ -z $(complete_line vote-admin lag --dry) ]]
    [[ -z $(complete_line vote-admin no-such-command --) ]]
}

@test "vote-tail completes topics and actions" {
    [[ $(complete_line vote-tail -t re) == $'requests\nresults' ]]
    [[ $(complete_line vote-tail --topic d) == dead ]]
    [[ $(complete_line vote-tail --action c) == $'created\nchanged' ]]
}

@test "a secret's file is completed as a file" {
    cd "$BATS_TEST_TMPDIR"
    touch secret.txt
    [[ $(complete_line vote-ingest --jwt-secret-file sec) == secret.txt ]]
    [[ $(complete_line vote-admin token --jwt-secret-file sec) == secret.txt ]]
}
