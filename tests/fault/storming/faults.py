# faults.py - a plan comes true: each fault begins at its time and ends by itself. SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import contextlib
import os
import signal
import subprocess
import threading
import time

from storming.plan import BROKERS, LINKS, TOOLS


def children_of(pid):
    return [int(child) for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()]


def signal_each(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


BROKER_TRIES = 4
LEAVES = (69, 75)  # a server is away; try again


class Storm:
    """What became of each fault is told as it happens."""

    def __init__(self, site, plan, tell):
        self.site, self.plan, self.tell, self.troubles, self.history = site, plan, tell, [], []
        self.begun = None
        # A process of ours dies with the thread that started it: so one that stays starts them all.
        self.over = threading.Event()
        self.starter = concurrent.futures.ThreadPoolExecutor(1)

    def run(self, seconds):
        """Until the plan has come to its end and everything is up again."""
        self.begun, threads, supervisor = time.monotonic(), [], threading.Thread(target=self.supervise, daemon=True)
        supervisor.start()
        for fault in self.plan:
            time.sleep(max(0, self.begun + fault.at - time.monotonic()))
            self.tell(str(fault))
            threads.append(threading.Thread(target=self.strike, args=(fault,), daemon=True))
            threads[-1].start()
        time.sleep(max(0, self.begun + seconds - time.monotonic()))
        for thread in threads:
            thread.join(400)
            assert not thread.is_alive(), "a fault does not end"
        for link in LINKS:
            self.site.proxy.order(link, None)

    def supervise(self):
        """As any supervisor would: who could not start, since a server was away, is started again."""
        while True:
            for name, daemon in self.site.daemons.items():
                with self.site.locks[name]:
                    code = daemon.process.poll()
                    if code is not None:
                        (self.tell if code in LEAVES else self.troubles.append)(f"{name} left by itself with {code}")
                        self.start(name)
            if self.over.wait(0.5):
                return

    def strike(self, fault):
        start = time.time()
        try:
            with self.lock_of(fault.target):
                getattr(self, fault.kind)(fault)
        except Exception as error:  # a server that does not start again must be seen, whatever it is
            self.troubles.append(f"{fault}: {error!r}")
            self.tell(f"trouble: {fault}: {error!r}")
        self.history.append((fault.target, start, time.time()))

    def lock_of(self, target):
        return self.site.locks.get(target, contextlib.nullcontext())

    def pids(self, target):
        if target in TOOLS:
            return [self.site.daemons[target].process.pid]
        if target in BROKERS:
            return [self.site.kafka.pid(int(target[-1]))]
        parent = int(open(os.path.join(self.site.directory, target, "pid")).read().split()[0])
        return [parent, *children_of(parent)]

    def start(self, target):
        if target in TOOLS:
            self.starter.submit(self.site.daemons[target].start, ready=False).result(60)
        elif target in BROKERS:
            self.start_broker(int(target[-1]))
        else:
            self.site.server("start", target)

    def start_broker(self, node):
        """A busy machine may need longer than the script has patience."""
        for again in reversed(range(BROKER_TRIES)):
            try:
                self.site.kafka.start(node)
                return
            except AssertionError:
                if not again:
                    raise

    def kill(self, fault):
        signal_each(self.pids(fault.target), signal.SIGKILL)
        if fault.target in TOOLS:
            self.site.daemons[fault.target].process.wait()
        time.sleep(fault.seconds)
        self.start(fault.target)

    def stop(self, fault):
        frozen = []
        try:
            signal_each(self.pids(fault.target)[:1], signal.SIGSTOP)  # so that it makes no more children
            frozen = self.pids(fault.target)
            signal_each(frozen[1:], signal.SIGSTOP)
            time.sleep(fault.seconds)
        finally:
            signal_each(reversed(frozen), signal.SIGCONT)

    def restart(self, fault):
        if fault.target in TOOLS:
            code = self.site.daemons[fault.target].stop()
            if code != 0:
                self.tell(f"note: {fault.target} left with {code}")
        elif fault.target in BROKERS:
            self.site.kafka.leave(int(fault.target[-1]))
        else:
            self.site.server("stop", fault.target)
        time.sleep(fault.seconds)
        self.start(fault.target)

    def flush(self, fault):
        self.site.redis().flushall()

    def cut(self, fault):
        self.site.proxy.order(fault.target, fault.mode, fault.amount)
        time.sleep(fault.seconds)
        self.site.proxy.order(fault.target, None)
