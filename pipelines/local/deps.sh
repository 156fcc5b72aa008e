#!/usr/bin/env bash
# deps.sh - installs the Debian packages that are missing: deps.sh build|run|test...
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
policy=/usr/sbin/policy-rc.d
made_policy=

die() { echo "deps: $*" >&2; exit 69; }

missing() { # GROUP...
    local group package
    while read -r group package _; do
        [[ " $* " == *" $group "* ]] || continue
        # NodeSource's nodejs brings npm along, and does not go with Debian's
        [[ $package == npm ]] && command -v npm >/dev/null && continue
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done <"$here/packages.txt"
}

clean_up() {
    if [[ -n $made_policy ]]; then "${sudo[@]}" rm -f "$policy"; fi
}

# What is installed here serves the private stack: no system service is started for it, and no
# database cluster is made.
keep_services_off() {
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
        made_policy=yes
    fi
    if ! dpkg-query -W postgresql-common >/dev/null 2>&1; then
        "${sudo[@]}" mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' |
            "${sudo[@]}" tee /etc/postgresql-common/createcluster.d/votepipe.conf >/dev/null
    fi
}

mapfile -t packages < <(missing "$@")
((${#packages[@]})) || exit 0
command -v apt-get >/dev/null || die "missing ${packages[*]}, and this is no Debian or Ubuntu: install them by hand"
sudo=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "missing ${packages[*]}: run as root, or install sudo"
    sudo=(sudo)
fi
echo "deps: installing for $*: ${packages[*]}"
log=$(mktemp)
trap clean_up EXIT
keep_services_off
export DEBIAN_FRONTEND=noninteractive
if ! { "${sudo[@]}" apt-get update && "${sudo[@]}" apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get failed; its output is $log"
fi
rm -f "$log"
