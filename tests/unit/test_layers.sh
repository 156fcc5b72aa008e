#!/usr/bin/env bash
# test_layers.sh - cmd includes lib and never the reverse; lib/base includes nothing above it, lib/tls only lib/base.
# SPDX-License-Identifier: Apache-2.0
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 70
bad=$(grep -rnE '#include "(vote-[a-z]+|cmd)/' lib
    grep -rnE '#include "(http|kafka|redis|pg|vote|socketio|trace|tls)/' lib/base
    grep -rnE '#include "(http|kafka|redis|pg|vote|socketio|trace)/' lib/tls
    grep -rnE '#include "(vote|kafka|redis|pg|socketio|trace)/' lib/http
    grep -rnE '#include "(vote|kafka|redis|pg|socketio|http)/' lib/trace
    grep -rnE '#include "(vote|redis|pg)/' lib/kafka
    grep -rnE '#include "(vote|kafka|pg)/' lib/redis
    grep -rnE '#include "(vote|kafka|redis|pg)/' lib/socketio)
[[ -z $bad ]] || { echo "$bad"; exit 1; }
