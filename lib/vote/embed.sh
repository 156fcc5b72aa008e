#!/usr/bin/env bash
# embed.sh - writes C that holds text files: `embed.sh migrations FILE.sql...` or `embed.sh scripts FILE.lua...`.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

quote() { # one C string literal a line; sed does the escaping
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
}

kind=$1
shift
if [[ $kind == migrations ]]; then
    printf '#include "vote/migrations.h"\n\nconst struct migration migrations[] = {\n'
    for file in "$@"; do
        name=$(basename "$file")
        printf '    {%d, "%s",\n' "$((10#${name%%_*}))" "$name"
        quote "$file"
        printf '    },\n'
    done
    printf '};\n\nconst size_t migration_count = %d;\n' "$#"
else
    printf '#include "vote/scripts.h"\n'
    for file in "$@"; do
        printf '\nconst char lua_%s[] =\n' "$(basename "$file" .lua)"
        quote "$file"
        printf '    ;\n'
    done
fi
