#!/usr/bin/env python3
# report.py - runs the benches one after the other and ends with a table of all that was wanted of them.
# SPDX-License-Identifier: Apache-2.0
#
#     report.py POLIS_EXPORT [BENCH...]
#
# A bench says what it measured in lines that end in `wanted >= 15`, with `MISSED` behind where it is not so; the first
# line of their paragraph is what they are about. The table is Markdown, as in README.md beside this file.
# Exit 1: a bench ended with an error; a figure that falls short is no error.
import datetime
import os
import re
import subprocess
import sys

BENCH = os.path.dirname(os.path.abspath(__file__))
BENCHES = ("polis", "ingest", "commit", "notify", "web", "tail")
RATIO = re.compile(r"(?P<measured>.*?),?\s+wanted (?P<wanted>[^(]*?)(?P<missed>  MISSED)?(\s+\(.*)?$")


class Table:
    """The ratios of what a bench prints."""

    def __init__(self):
        self.rows, self.about, self.before = [], "", ""

    def take(self, bench, line):
        found = RATIO.match(line)
        if found:
            about = "" if line[0] != " " else self.about
            measured = re.sub(r"\s{2,}", " ", found["measured"].strip())
            self.rows.append((bench, about, measured, found["wanted"].strip(), "missed" if found["missed"] else "met"))
        elif line and not self.before:
            self.about = re.split(r"\s{2,}|: |, ", line)[0]
        self.before = line

    def print(self):
        print(f"\n| bench | about | measured | wanted | {datetime.date.today()} |\n|---|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        missed = sum(row[-1] == "missed" for row in self.rows)
        print(f"\n{len(self.rows) - missed} met, {missed} missed")


def run(bench, arguments, table):
    """Prints what the bench prints, as it comes; returns its exit code."""
    print(f"\n== {bench}", flush=True)
    table.about = ""
    with subprocess.Popen([sys.executable, f"{BENCH}/{bench}.py", *arguments], stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            print(line, end="", flush=True)
            table.take(bench, line.rstrip())
    return child.returncode


def main(polis, *benches):
    table = Table()
    codes = {bench: run(bench, [polis] if bench == "polis" else [], table) for bench in benches or BENCHES}
    table.print()
    failed = [f"{bench}.py ended with {code}" for bench, code in codes.items() if code]
    sys.exit("report: " + ", ".join(failed) if failed else 0)


if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(BENCHES):
        sys.exit(f"usage: report.py POLIS_EXPORT [{'|'.join(BENCHES)}]...")
    main(*sys.argv[1:])
