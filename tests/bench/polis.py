#!/usr/bin/env python3
# polis.py - a whole Polis conversation through a private stack, checked: polis.py EXPORT.csv
# SPDX-License-Identifier: Apache-2.0
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT + "/tests/integration", ROOT + "/tests/data"]

import polis_to_votes  # noqa: E402
from stack import DeployedStack, started_servers  # noqa: E402


def main(export):
    with started_servers(DeployedStack, "votepipe-bench-") as stack:
        votes, projects = stack.directory + "/votes.csv", stack.directory + "/projects.csv"
        polis_to_votes.main(export, "bench", votes, projects)
        stack.ingest().start()
        stack.commit().start()
        stack.run("vote-admin", "projects", "import", projects, check=True)
        load = stack.run("vote-load", "--file", votes, "--verify", timeout=1200)
        print(load.stdout + load.stderr)
        audit = stack.run("vote-admin", "audit")
        print(audit.stdout)
        return load.returncode or audit.returncode


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.exists(sys.argv[1]):
        sys.exit("bench: there is no Polis export: make bench POLIS=FILE.csv")
    sys.exit(main(sys.argv[1]))
