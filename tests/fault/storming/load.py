# load.py - people who click while the storm is on, and all that they are told. SPDX-License-Identifier: Apache-2.0
import json
import random
import threading
import time
import uuid

import requests
from confluent_kafka import Producer

from storming.site import REFUSED_USER
from votes import sign

THREADS, USERS_EACH, HOT, SPREAD = 16, 5, 3, 40
RATE = 70  # clicks a second, of all threads
HOT_SHARE, KEY_SHARE, AGAIN_SHARE, SET_SHARE, BAD_SHARE, PEEK_SHARE = 0.5, 0.5, 0.1, 0.2, 0.06, 0.04
ANSWER_SECONDS, PATIENCE_SECONDS = 6, 20
POISON_SECONDS = 2.5

BAD = (
    ("no JSON", 400, lambda project: {"data": "{"}),
    ("no such vote", 400, lambda project: {"json": {"project_id": project, "vote_type": "sideways"}}),
    ("a project id with blanks", 400, lambda project: {"json": {"project_id": "a b", "vote_type": "up"}}),
    ("a project id too long", 400, lambda project: {"json": {"project_id": "x" * 65, "vote_type": "up"}}),
    ("a variant too long", 400, lambda project: {"json": {"project_id": project, "vote_type": "up", "variant": "v" * 33}}),
    ("a body too large", 413, lambda project: {"data": " " * 17000}),
    ("no token", 401, lambda project: {"json": {"project_id": project, "vote_type": "up"}, "headers": {"Authorization": ""}}),
    ("a token that is none", 401,
     lambda project: {"json": {"project_id": project, "vote_type": "up"}, "headers": {"Authorization": "Bearer a.b.c"}}),
    ("no such project", 404, lambda project: {"json": {"project_id": "nobody-made-this", "vote_type": "up"}}),
)


class Clicks:
    """The load of a storm. Each click has a label of its own, its variant, by which it is found again wherever it came to."""

    def __init__(self, site, seed):
        self.site, self.seed, self.tag = site, seed, uuid.uuid4().hex[:8]
        self.hot = [f"{self.tag}-hot{n}" for n in range(HOT)]
        self.spread = [f"{self.tag}-p{n}" for n in range(SPREAD)]
        self.projects = self.hot + self.spread
        self.users = [[self.user_name(t, n) for n in range(USERS_EACH)] for t in range(THREADS)]
        self.tokens = {user: sign(user) for users in self.users for user in users}
        self.urls = site.urls("vote-ingest")
        self.clicks, self.bad, self.peeks, self.poison, self.ended = [], [], [], [], threading.Event()
        text = "project_id,owner_id\n" + "".join(f"{p},{self.tag}-owner\n" for p in self.projects)
        site.run("vote-admin", "projects", "import", "-", input=text, check=True)
        self.threads = [threading.Thread(target=self.visit, args=(n,), daemon=True) for n in range(THREADS)]
        self.threads.append(threading.Thread(target=self.spoil, daemon=True))

    def user_name(self, thread, number):
        refused = REFUSED_USER if thread == 0 and number == 0 else "user"
        return f"{self.tag}-{refused}-{thread}-{number}"

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE_SECONDS)
            assert not thread.is_alive(), "a visitor does not come to an end"

    def visit(self, number):
        """One visitor at a time: a user's clicks follow each other."""
        rng, session = random.Random(self.seed * 1000 + number), requests.Session()
        while not self.ended.wait(rng.expovariate(RATE / THREADS)):
            user, dice = rng.choice(self.users[number]), rng.random()
            if dice < BAD_SHARE:
                self.send_bad(rng, session, user)
            elif dice < BAD_SHARE + PEEK_SHARE:
                self.peek(rng, session, user)
            else:
                self.click(rng, session, user)

    def click(self, rng, session, user):
        click = {
            "variant": uuid.UUID(int=rng.getrandbits(128)).hex, "user": user, "attempts": [],
            "project": rng.choice(self.hot if rng.random() < HOT_SHARE else self.spread),
            "vote_type": rng.choice(("up", "up", "down", "none")), "toggle": rng.random() >= SET_SHARE,
            "key": uuid.UUID(int=rng.getrandbits(128)).hex if rng.random() < KEY_SHARE else None}
        self.clicks.append(click)
        until = time.monotonic() + PATIENCE_SECONDS
        while self.attempt(rng, session, click) != 202 and click["key"] and time.monotonic() < until:
            time.sleep(rng.uniform(0.2, 1))
        if click["key"] and rng.random() < AGAIN_SHARE:
            self.attempt(rng, session, click)  # whose answer got lost on the last metre

    def attempt(self, rng, session, click):
        body = {"project_id": click["project"], "vote_type": click["vote_type"], "variant": click["variant"]}
        headers = {"Authorization": "Bearer " + self.tokens[click["user"]]}
        if not click["toggle"]:
            body["toggle"] = False
        if click["key"]:
            headers["Idempotency-Key"] = click["key"]
        at = rng.randrange(2)
        attempt = {"ingest": f"vote-ingest-{at + 1}", "begun": time.time(), "status": None}
        click["attempts"].append(attempt)
        try:
            answer = session.post(self.urls[at] + "/api/votes", json=body, headers=headers, timeout=ANSWER_SECONDS)
            attempt["status"] = answer.status_code
            if answer.status_code == 202:
                attempt["data"] = answer.json()["data"]
                attempt["replayed"] = answer.headers.get("Idempotent-Replayed") == "true"
            elif answer.headers.get("Content-Type") == "application/problem+json":
                attempt["problem"] = answer.json()["type"].rsplit("/", 1)[-1]
        except (requests.RequestException, ValueError) as error:
            attempt["error"] = type(error).__name__
        attempt["ended"] = time.time()
        return attempt["status"]

    def send_bad(self, rng, session, user):
        name, status, make = rng.choice(BAD)
        call = make(rng.choice(self.projects))
        headers = {"Authorization": "Bearer " + self.tokens[user], "Content-Type": "application/json", **call.pop("headers", {})}
        try:
            answer = session.post(rng.choice(self.urls) + "/api/votes", headers=headers, timeout=ANSWER_SECONDS, **call)
            self.bad.append({"what": name, "expected": status, "status": answer.status_code})
        except requests.RequestException:
            pass

    def peek(self, rng, session, user):
        """Asks for somebody else's vote."""
        known = [click for click in self.clicks[-200:] if click["user"] != user and click["attempts"]
                 and click["attempts"][-1].get("data")]
        if not known:
            return
        request_id = rng.choice(known)["attempts"][-1]["data"]["request_id"]
        try:
            answer = session.get(rng.choice(self.urls) + "/api/votes/status/" + request_id, timeout=ANSWER_SECONDS,
                                 headers={"Authorization": "Bearer " + self.tokens[user]})
            self.peeks.append({"user": user, "request_id": request_id, "status": answer.status_code})
        except requests.RequestException:
            pass

    def spoil(self):
        """Records that are no requests, straight into the log."""
        rng = random.Random(self.seed)
        producer = Producer({"bootstrap.servers": self.site.env["VOTE_KAFKA_BROKERS"], "partitioner": "murmur2_random",
                             "enable.idempotence": True, "linger.ms": 0, "log_level": 2})

        def delivered(error, message):
            if not error:
                self.poison.append({"key": message.key().decode(), "value": message.value().hex()})
        while not self.ended.wait(rng.expovariate(1 / POISON_SECONDS)):
            number = rng.getrandbits(40)
            half = json.dumps({"request_id": str(uuid.UUID(int=rng.getrandbits(128))), "project_id": self.hot[0], "number": number})
            value = rng.choice((b"\xff\x00 no text %d" % number, half.encode(), b"[%d" % number))
            producer.produce("vote.requests", key=rng.choice(self.projects).encode(), value=value, on_delivery=delivered)
            producer.poll(0)
        assert producer.flush(90) == 0
