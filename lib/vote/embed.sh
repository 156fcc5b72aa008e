#!/usr/bin/env bash
# embed.sh - writes C that holds text files: `embed.sh migrations FILE.sql...`, `embed.sh scripts FILE.lua...`,
# `embed.sh openapi FILE.json`, `embed.sh keys FILE`.
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
elif [[ $kind == openapi ]]; then
    printf '#include "vote/openapi.h"\n\nconst char openapi_json[] =\n'
    quote "$1"
    printf '    ;\n'
elif [[ $kind == keys ]]; then
    printf 'extern const char default_keys[];\n\nconst char default_keys[] =\n'
    quote "$1"
    printf '    ;\n'
else
    printf '#include "vote/scripts.h"\n'
    for file in "$@"; do
        printf '\nconst struct redis_script script_%s = {\n' "$(basename "$file" .lua)"
        quote "$file"
        printf '    ,\n    "%s"};\n' "$(sha1sum "$file" | cut -d ' ' -f 1)"
    done
fi
