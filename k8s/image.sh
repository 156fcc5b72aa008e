#!/usr/bin/env bash
# image.sh - builds the image with docker, podman or buildah, whichever is here, and prints its size:
#   image.sh [--bootstrap] [NAME:TAG]
# BASE names another base image, such as one by digest; --bootstrap makes one of Debian's packages (mmdebstrap,
# buildah). The commit's time goes into every file, so that builds of one commit over the same packages can be compared.
# Behind a proxy with a certificate of its own, npm is told of it by NODE_EXTRA_CA_CERTS.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "$0")/.."
bootstrap=
[[ ${1:-} != --bootstrap ]] || { bootstrap=yes; shift; }
version=$(sed -n 's/^ARG VERSION=//p' k8s/Dockerfile)
image=${1:-votepipe:$version}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
arguments=(--build-arg "REVISION=$revision" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")

[[ -z ${BASE:-} ]] || arguments+=(--build-arg "BASE=$BASE")
[[ -z ${NODE_EXTRA_CA_CERTS:-} ]] || arguments+=(--secret "id=ca,src=$NODE_EXTRA_CA_CERTS")

die() { echo "image: $*" >&2; exit 69; }

# What debian:bookworm-slim is: required packages and apt, without manuals and translations.
bootstrap_base() {
    local container tar=build/image/base.tar
    command -v mmdebstrap >/dev/null || die "--bootstrap needs mmdebstrap"
    mkdir -p build/image
    mmdebstrap --quiet --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$tar" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$tar" / >/dev/null
    buildah commit --quiet --timestamp "$SOURCE_DATE_EPOCH" --rm "$container" votepipe-base >/dev/null
    rm -f "$tar"
    arguments+=(--build-arg BASE=localhost/votepipe-base)
}

if [[ -n $bootstrap ]]; then
    command -v buildah >/dev/null || die "--bootstrap needs buildah"
    engine=buildah
    bootstrap_base
else
    for engine in docker podman buildah none; do
        command -v "$engine" >/dev/null || continue
        [[ $engine != docker ]] || docker info >/dev/null 2>&1 || continue
        break
    done
    command -v "$engine" >/dev/null || die "no docker (with its daemon), podman or buildah here"
fi

if [[ $engine == docker ]]; then
    docker buildx build "${arguments[@]}" --file k8s/Dockerfile \
        --output "type=docker,name=$image,rewrite-timestamp=true" .
    bytes=$(docker image inspect --format '{{.Size}}' "$image")
else
    "$engine" build --layers "${arguments[@]}" --timestamp "$SOURCE_DATE_EPOCH" --file k8s/Dockerfile --tag "$image" .
    [[ $engine == podman ]] && bytes=$(podman image inspect --format '{{.Size}}' "$image")
    [[ $engine == buildah ]] && bytes=$(buildah images --json "$image" | sed -n 's/.*"size": "\(.*\)".*/\1/p')
fi
echo "$image: $bytes"
