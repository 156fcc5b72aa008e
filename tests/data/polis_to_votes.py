#!/usr/bin/env python3
# polis_to_votes.py - turns a Polis export into votes.csv and projects.csv: polis_to_votes.py EXPORT PREFIX VOTES PROJECTS
# SPDX-License-Identifier: Apache-2.0
import csv
import sys

TYPES = {"1": "up", "-1": "down", "0": "none"}


def main(export, prefix, votes_path, projects_path):
    with open(export, newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["timestamp"]))
    with open(votes_path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["timestamp", "user_id", "project_id", "vote_type"])
        for row in rows:
            out.writerow([row["timestamp"], prefix + "-u" + row["voter-id"],
                          prefix + "-c" + row["comment-id"], TYPES[row["vote"]]])
    with open(projects_path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["project_id", "owner_id"])
        for project in sorted({prefix + "-c" + row["comment-id"] for row in rows}):
            out.writerow([project, ""])


if __name__ == "__main__":
    main(*sys.argv[1:])
