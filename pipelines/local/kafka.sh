#!/usr/bin/env bash
# kafka.sh - a private Apache Kafka (KRaft, one node): kafka.sh start DIR PORT [CONTROLLER_PORT] | stop DIR | status DIR
# KAFKA_PROPERTIES adds lines to server.properties, of which the last one of a name counts; KAFKA_FORMAT replaces the
# arguments of the storage tool, for a node of several; KAFKA_PATIENCE is how many seconds a start may take.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=server.sh
. "$here/server.sh"

write_properties() { # DIR PORT CONTROLLER_PORT
    cat >"$1/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
${KAFKA_PROPERTIES:-}
PROPERTIES
}

# A broker's answer to ApiVersions (version 0, correlation id 7, no client id), not just anybody who listens there.
answers() ( # PORT
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
    printf '\0\0\0\12\0\22\0\0\0\0\0\7\377\377' >&3
    [[ $(timeout 5 head -c 8 <&3 | od -An -tx1 -j 4) == " 00 00 00 07" ]]
)

start() {
    local dir=$1 port=$2 controller=${3:-$(($2 + 1))} libs format
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if running_pid "$dir" >/dev/null; then echo "kafka: already running"; return; fi
    command -v java >/dev/null || die "kafka: no Java is installed (make deps)"
    libs=$("$here/kafka-libs.sh")
    refuse_taken_port kafka "$port"
    refuse_taken_port kafka "$controller"
    write_properties "$dir" "$port" "$controller"
    if [[ ! -s $dir/data/meta.properties ]]; then
        read -ra format <<<"${KAFKA_FORMAT:---standalone -t $(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | cut -c1-22)}"
        java -cp "$libs/*" kafka.tools.StorageTool format "${format[@]}" -c "$dir/server.properties" \
            >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; die "kafka: format failed"; }
    fi
    launch kafka "$dir" java -Xms256m -Xmx512m -XX:+UseG1GC -Djava.awt.headless=true \
        -cp "$libs/*" kafka.Kafka "$dir/server.properties"
    wait_until kafka "$dir" "${KAFKA_PATIENCE:-60}" answers "$port"
    echo "kafka: ready on 127.0.0.1:$port"
}

case ${1:-} in
    start) start "${@:2}" ;;
    stop) stop_server kafka "$2" TERM ;;
    status) status_server kafka "$2" ;;
    *) die "usage: kafka.sh start DIR PORT [CONTROLLER_PORT] | stop DIR | status DIR" ;;
esac
