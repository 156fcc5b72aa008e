#!/usr/bin/python3
# servers.py - runs a command beside servers and tools of its own, on free ports, which end with it:
# servers.py bats tests/cli/pipeline.bats. SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from stack import Stack, free_port, started_servers  # noqa: E402

with started_servers(Stack, "votepipe-cli-") as stack:
    for tool in (stack.ingest(), stack.commit()):
        tool.start()
    commit_pid = str(stack.tools[-1].process.pid)
    unused_ports = f"{free_port()} {free_port()}"
    code = subprocess.run(sys.argv[1:], env={**stack.env, "COMMIT_PID": commit_pid, "UNUSED_PORTS": unused_ports}).returncode
sys.exit(code)
