#!/usr/bin/env bash
# kafka-libs.sh - fetches the jars of a pom from Maven Central once, and prints the folder they are in:
# kafka-libs.sh [POM FOLDER], Apache Kafka's when none is named.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
pom=${1:-$root/pipelines/kafka/pom.xml}
libs=${2:-${VOTEPIPE_KAFKA_LIBS:-$root/build/kafka/libs}}
stamp=$libs/.pom.sha256

mkdir -p "$libs"
exec 8>"$libs/.lock"
flock 8
if [[ $(cat "$stamp" 2>/dev/null) != "$(sha256sum <"$pom")" ]]; then
    command -v mvn >/dev/null || { echo "kafka: mvn is not installed (make deps)" >&2; exit 69; }
    echo "kafka: fetching ${pom#"$root"/} from Maven Central" >&2
    mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$libs" >&2
    sha256sum <"$pom" >"$stamp"
fi
echo "$libs"
