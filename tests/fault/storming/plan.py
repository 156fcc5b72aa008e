# plan.py - what a storm does, and when: drawn from a seed, so that the seed replays it. SPDX-License-Identifier: Apache-2.0
import dataclasses
import random

TOOLS = tuple(f"{name}-{number}" for name in ("vote-ingest", "vote-commit", "vote-notify", "vote-invalidate") for number in (1, 2))
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
SERVERS = (*BROKERS, "redis", "postgres")

# Who talks to whom: each is a link of its own, and can be cut.
LINKS = tuple(
    [f"{tool}>{broker}" for tool in TOOLS for broker in BROKERS] +
    [f"kafka>{broker}" for broker in BROKERS] +
    [f"{tool}>postgres" for tool in TOOLS] +
    [f"{tool}>redis" for tool in TOOLS if "notify" not in tool] +
    [f"clients>{tool}" for tool in TOOLS if "ingest" in tool or "notify" in tool])

CUTS = ("drop", "hang", "delay", "truncate")

# How often each comes: a plan goes through the shuffled deck again and again, so that a short one has some of everything.
DECK = (
    [("kill", "tool")] * 5 + [("stop", "tool")] * 3 + [("restart", "tool")] * 3 + [("cut", "link")] * 8 +
    [("kill", "broker"), ("stop", "broker"), ("restart", "broker"), ("flush", "redis"), ("flush", "redis"), ("kill", "redis"),
     ("stop", "redis"), ("kill", "postgres"), ("stop", "postgres"), ("restart", "postgres")])

# Seconds: between two faults; how long each lasts.
PAUSE = (0.6, 1.8)
LASTS = {"kill": (0.2, 4), "stop": (0.5, 6), "restart": (0, 2), "flush": (0, 0), "cut": (0.5, 5)}
# The promise is for the loss of one broker of three: the next one waits until this one has caught up.
BROKER_RECOVERS = 12
RECOVERS = 3


@dataclasses.dataclass(frozen=True)
class Fault:
    at: float
    seconds: float
    kind: str
    target: str
    mode: str = ""
    amount: int = 0  # of a delay: milliseconds; of a truncation: bytes that still get through

    def __str__(self):
        cut = f" {self.mode} {self.amount or ''}".rstrip()
        return f"{self.at:7.2f}s  {self.kind}{cut} {self.target}" + (f" for {self.seconds:.2f} s" if self.seconds else "")


def choose_target(rng, what):
    return rng.choice({"tool": TOOLS, "broker": BROKERS, "link": LINKS}.get(what, (what,)))


def resource(target):
    """What two faults may not have at the same time."""
    return "brokers" if target in BROKERS or target.startswith("kafka>") else target


def draw(rng, at, kind, what):
    target = choose_target(rng, what)
    mode = rng.choice(CUTS) if kind == "cut" else ""
    amount = {"delay": rng.randrange(20, 800), "truncate": rng.randrange(1, 4000)}.get(mode, 0)
    return Fault(round(at, 2), round(rng.uniform(*LASTS[kind]), 2), kind, target, mode, amount)


def make(seed, seconds):
    """The faults of so many seconds, in order; the same for the same seed."""
    rng, faults, deck, free_at = random.Random(seed), [], [], {}
    at = rng.uniform(*PAUSE)
    while at < seconds:
        if not deck:
            deck = rng.sample(DECK, len(DECK))
        fault = draw(rng, at, *deck.pop())
        needs = resource(fault.target)
        if free_at.get(needs, 0) <= at:
            free_at[needs] = at + fault.seconds + (BROKER_RECOVERS if needs == "brokers" else RECOVERS)
            faults.append(fault)
            at += rng.uniform(*PAUSE)
    return faults
