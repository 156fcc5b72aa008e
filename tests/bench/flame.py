#!/usr/bin/env python3
# flame.py - where the processor time of each stage goes, as flame graphs: flame.py DIRECTORY [SECONDS]
# SPDX-License-Identifier: Apache-2.0
#
# The whole pipeline under as many votes as it takes, sampled by perf once all is warm: DIRECTORY/NAME.svg for each
# daemon and server. A box is a function, as wide as its share of the samples; what it called stands on it; its title
# (point at it) tells the share and the library. A share below PRUNED is left out. Needs the right to sample: root, or
# kernel.perf_event_paranoid below 2.
import os
import subprocess
import sys
import time
import xml.sax.saxutils

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT + "/tests/integration", os.path.dirname(os.path.abspath(__file__))]

import process  # noqa: E402
from capacity import PROJECTS, SERVERS, USERS, Site  # noqa: E402
from stack import BIN, DeployedStack, die_with_parent, started_servers  # noqa: E402
from stages import server_pid  # noqa: E402

WARM_SECONDS, HERTZ, BROWSERS = 45, 499, 20
WIDTH, ROW, LETTER, PRUNED = 1200, 17, 6.6, 0.004
COLOURS = {"[kernel.kallsyms]": "#d9c7a7", "librdkafka": "#9ecae1", "libc": "#c7c7c7", "libssl": "#c5b0d5", "libcrypto": "#c5b0d5"}
PROGRAM, OTHERS = "#f4a582", "#b8e0b8"


class Box:
    """A function called from a certain stack, and in how many samples it was."""

    def __init__(self, name, library):
        self.name, self.library, self.samples, self.callees = name, library, 0, {}

    def add(self, frames):
        box = self
        box.samples += 1
        for name, library in frames:
            box = box.callees.setdefault((name, library), Box(name, library))
            box.samples += 1

    def depth(self, least):
        return 1 + max((callee.depth(least) for callee in self.callees.values() if callee.samples >= least), default=0)


def stacks(data):
    """Of each sample its thread's name and its frames, the outermost first."""
    script = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym,dso", "--no-inline"], capture_output=True, text=True, check=True)
    for sample in script.stdout.split("\n\n"):
        lines = [line for line in sample.splitlines() if line.strip()]
        if not lines:
            continue
        frames = [(lines[0].strip(), "thread")]
        for line in reversed(lines[1:]):
            name, _, library = line.split(None, 1)[1].rpartition(" (")
            library = os.path.basename(library.rstrip(")"))
            frames.append((library if name == "[unknown]" else name, library))
        yield frames


def colour(library, program):
    if library == program:
        return PROGRAM
    return next((shade for name, shade in COLOURS.items() if library.startswith(name)), OTHERS)


def draw(box, x, row, total, program):
    """The box and what stands on it, from the row it is in upwards."""
    width = WIDTH * box.samples / total
    label = xml.sax.saxutils.escape(box.name[:int(width / LETTER)]) if width > 3 * LETTER else ""
    title = xml.sax.saxutils.escape(f"{box.name} ({box.library}): {100 * box.samples / total:.1f} %")
    yield (f'<g><title>{title}</title><rect x="{x:.1f}" y="{row * ROW}" width="{width:.1f}" height="{ROW - 1}" '
           f'fill="{colour(box.library, program)}"/><text x="{x + 2:.1f}" y="{row * ROW + 12}">{label}</text></g>')
    for callee in sorted(box.callees.values(), key=lambda callee: callee.name):
        if callee.samples >= PRUNED * total:
            yield from draw(callee, x, row - 1, total, program)
            x += WIDTH * callee.samples / total


def write_svg(path, name, root):
    rows = root.depth(PRUNED * root.samples)
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {rows * ROW + 4}" font-family="monospace" font-size="11">\n'
                   f'<title>{name}: {root.samples} samples of its processor time</title>\n'
                   f'<rect width="100%" height="100%" fill="white"/>\n')
        file.writelines(line + "\n" for line in draw(root, 0, rows - 1, root.samples, name))
        file.write("</svg>\n")


def own_time(root):
    """By library, the share of samples that were in it at their top."""
    shares, boxes = {}, [root]
    for box in boxes:
        boxes += box.callees.values()
        own = box.samples - sum(callee.samples for callee in box.callees.values())
        shares[box.library] = shares.get(box.library, 0) + own / root.samples
    return sorted(((share, library) for library, share in shares.items() if share >= 0.01), reverse=True)


def record(name, pids, seconds, directory):
    data = os.path.join(directory, name + ".perf")
    subprocess.run(["perf", "record", "-q", "-o", data, "-F", str(HERTZ), "--call-graph", "dwarf,16384", "-p", ",".join(map(str, pids)),
                    "--", "sleep", str(seconds)], check=True, capture_output=True)
    root, binary = Box(name, "all"), os.path.basename(os.readlink(f"/proc/{pids[0]}/exe"))
    for frames in stacks(data):
        root.add((function, name if library == binary else library) for function, library in frames)
    os.unlink(data)
    assert root.samples, f"{name}: perf has no samples"
    write_svg(os.path.join(directory, name + ".svg"), name, root)
    print(f"{name}, {root.samples} samples: " + ", ".join(f"{library} {100 * share:.0f} %" for share, library in own_time(root)), flush=True)


def bench(stack, directory, seconds):
    site = Site(stack)
    for number in range(BROWSERS):
        site.open_browser(number)
    pids = {name: [tool.process.pid] for name, tool in site.tools.items()}
    pids |= {name: process.tree(server_pid(stack, name)) for name in SERVERS if name != "kafka"}
    load = subprocess.Popen([os.path.join(BIN, "vote-load"), "--users", str(USERS), "--projects", str(PROJECTS), "--duration", "1h"],
                            env=stack.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    time.sleep(WARM_SECONDS)
    for name, these in pids.items():
        assert load.poll() is None, "the load has ended"
        record(name, these, seconds, directory)
    load.terminate()
    load.wait()


def main(directory, seconds=10):
    os.makedirs(directory, exist_ok=True)
    with started_servers(DeployedStack, "votepipe-bench-") as stack:
        bench(stack, directory, int(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:3])
