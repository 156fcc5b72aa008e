# process.py - what a process and its children cost: memory and processor time. SPDX-License-Identifier: Apache-2.0
import os

TICKS = os.sysconf("SC_CLK_TCK")


def stat_of(pid):
    """The fields of /proc/PID/stat after the name, or None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root):
    """The pids of `root` and everything below it."""
    stats = {int(name): stat_of(name) for name in os.listdir("/proc") if name.isdigit()}
    parents = {pid: int(stat[1]) for pid, stat in stats.items() if stat}
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def memory(root):
    """Resident and proportional set size of the tree, in MiB: shared pages count once for each, or once."""
    kib = {"Rss:": 0, "Pss:": 0}
    for pid in tree(root):
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                name, value = line.split()[:2]
                if name in kib:
                    kib[name] += int(value)
    return {"rss_mib": kib["Rss:"] / 1024, "pss_mib": kib["Pss:"] / 1024}


def processor_ns(pid):
    """Processor time of all threads of one process, to the ns; of threads that have ended nothing."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def processor_seconds(root):
    stats = [stat_of(pid) for pid in tree(root)]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats if stat) / TICKS
