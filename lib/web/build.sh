#!/usr/bin/env bash
# build.sh - the demo page into build/web, where node and npm are; elsewhere it is left out, and a line says so.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "$0")"

leave_out() {
    echo "  web  the page is left out: $1" >&2
    exit 0
}

for tool in node npm; do
    command -v "$tool" >/dev/null || leave_out "$tool is not installed"
done
node=$(node --version)
[[ ${node#v} == @(1[89]|[2-9][0-9]).* ]] || leave_out "node is $node, and 18 is needed"

installed=node_modules/.installed.json
if ! cmp -s package-lock.json "$installed"; then
    echo "  npm  lib/web"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null || leave_out "npm could not fetch its packages"
    cp package-lock.json "$installed"
fi
echo "  web  lib/web/dist, build/web"
npx --no-install tsc -p tsconfig.build.json
npx --no-install tsc --noEmit -p demo/tsconfig.json
npx --no-install vite build --logLevel error
