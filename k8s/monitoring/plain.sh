#!/usr/bin/env bash
# plain.sh - the rules as one plain Prometheus rule file, for a Prometheus without the operator. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
echo groups:
for rules in "$(dirname "$0")"/rules/*.yaml; do
    sed -e '1,/^  groups:$/d' -e 's/^  //' "$rules"
done
