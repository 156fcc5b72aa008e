# run.py - one storm from start to verdict. SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import os
import random
import shutil
import tempfile
import time

from stack import wait_until
from storming import check
from storming.evidence import TotalsSampler, collect
from storming.faults import Storm
from storming.load import Clicks
from storming.site import StormStack
from storming.sockets import Watchers
from topics import Tail, wait_applied

WARM_SECONDS, CALM_SECONDS, WATCHING_USERS, SHOWN_MAX = 2, 4, 5, 10


@dataclasses.dataclass
class Outcome:
    seed: int
    directory: str
    keep: bool
    case: check.Case
    troubles: list
    summary: str


def tell(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class Results:
    """The requests that vote.results has had."""

    def __init__(self, site):
        self.tail, self.ids = Tail(site, "vote.results"), set()

    def have(self, ids):
        self.ids |= {json.loads(message.value())["request_id"] for message in self.tail.read()}
        return ids <= self.ids


def settled_steps(site, clicks, watchers):
    """What has to become true when the faults are over, in this order; the checker says what did not."""
    results = Results(site)
    counts = {}

    def nothing_left():
        return site.sql("select (select count(*) from vote.outbox) + (select count(*) from vote.parked)") == [(0,)]

    def announced():
        return results.have({row[0] for row in site.sql("select request_id::text from vote.log")})

    def redis_agrees():
        shown = site.redis()
        for project, up, down in site.sql("select project_id, upvotes, downvotes from vote.projects"):
            state = shown.hgetall("vote:state:{%s}" % project)
            if state and (int(state["upvotes"]), int(state["downvotes"]), int(state["pending"])) != (up, down, 0):
                return False
        return True

    def sockets_agree():
        counts.update((row[0], row[1]) for row in site.sql("select project_id, version from vote.projects"))
        return all(watcher.counts.get(project, {}).get("version") == version
                   for watcher in watchers.watchers for project, version in counts.items())

    for name, daemon in site.daemons.items():
        yield f"{name} is ready", daemon.is_ready
    yield "the outbox and the parked are empty", nothing_left
    yield "the log is applied", lambda: wait_applied(site, 1) or True
    yield "the outbox is still empty", nothing_left
    yield "all is announced", announced
    yield "redis agrees", redis_agrees
    yield "the sockets agree", sockets_agree


def settle(site, clicks, watchers, seconds):
    """The steps that did not come true in time."""
    until, late = time.monotonic() + seconds, []
    for what, condition in settled_steps(site, clicks, watchers):
        try:
            wait_until(lambda: patient(condition), max(2, until - time.monotonic()), what)
        except AssertionError:
            late.append(what)
    return late


def patient(condition):
    try:
        return condition()
    except Exception:  # it is asked again until the deadline
        time.sleep(0.3)
        return False


def rage(site, seed, seconds, faults):
    """The load and the faults; returns what they leave to be checked."""
    rng, clicks = random.Random(seed), Clicks(site, seed)
    people = rng.sample(sorted(clicks.tokens.items()), WATCHING_USERS)
    refused = [(user, token) for user, token in clicks.tokens.items() if "refused" in user]
    watchers = Watchers(site.urls("vote-notify"), clicks.projects, people + refused)
    watchers.start()
    clicks.start()
    time.sleep(WARM_SECONDS)
    sampler, storm = TotalsSampler(site), Storm(site, faults, tell)
    try:
        storm.run(seconds)
        time.sleep(CALM_SECONDS)  # so that Redis, emptied by the last fault, has something to be wrong about
    finally:
        clicks.stop()
    return clicks, watchers, sampler, storm


def storm(seed, seconds, faults, settle_seconds=120, logs=None):
    directory = logs or tempfile.mkdtemp(prefix="votepipe-storm-")
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    site = StormStack(directory)
    try:
        tell("starting three brokers, Redis, Postgres, and two of each daemon")
        site.start_servers()
        site.start_daemons()
        tell(f"the load begins; {len(faults)} faults in {seconds:g} s")
        clicks, watchers, sampler, ended = rage(site, seed, seconds, faults)
        tell("the faults are over")
        began = time.monotonic()
        late = settle(site, clicks, watchers, settle_seconds)
        ended.over.set()
        tell(f"settled after {time.monotonic() - began:.1f} s" + "".join(f"; not in time: {what}" for what in late))
        evidence = collect(site, clicks, watchers, sampler.stop(), ended.history)
        watchers.stop()
    finally:
        site.stop()
    with open(os.path.join(directory, "evidence.json"), "w") as file:
        json.dump(evidence, file)
    return Outcome(seed, directory, bool(logs), check.judge(evidence), ended.troubles, summarise(evidence))


def summarise(evidence):
    statuses = {}
    for click in evidence["clicks"]:
        for attempt in click["attempts"]:
            name = str(attempt["status"] or "no answer")
            statuses[name] = statuses.get(name, 0) + 1
    told = ", ".join(f"{count} {name}" for name, count in sorted(statuses.items()))
    opened = sum(socket["connections"] for socket in evidence["sockets"])
    return (f"{len(evidence['clicks'])} clicks in {sum(statuses.values())} calls: {told}; {len(evidence['ledger'])} in the ledger, "
            f"{len(evidence['dead'])} dead; {len(evidence['sockets'])} sockets, opened {opened} times")


def report(outcome):
    """Prints the verdict; the exit code."""
    print(outcome.summary)
    print(check.table(outcome.case))
    for promise in check.PROMISES:
        for text in [text for broken, text in outcome.case.violations if broken == promise][:SHOWN_MAX]:
            print(f"violated: {promise}: {text}")
    for trouble in outcome.troubles:
        print(f"trouble: {trouble}")
    broken = bool(outcome.case.violations or outcome.troubles)
    if broken:
        print(f"storm: seed {outcome.seed}: {len(outcome.case.violations)} violations; logs and evidence are in {outcome.directory}")
    else:
        print(f"storm: seed {outcome.seed}: clean")
        if not outcome.keep:
            shutil.rmtree(outcome.directory, ignore_errors=True)
    return 1 if broken else 0
