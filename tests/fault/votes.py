# votes.py - votes while something fails, and what must be true of them afterwards. SPDX-License-Identifier: Apache-2.0
import json
import random
import threading
import time
import uuid

import jwt
import requests

from stack import SECRET, wait_until
from topics import Tail, wait_applied


def sign(user):
    return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, SECRET, "HS256")


def settled(stack, project):
    """Redis shows what Postgres has, and nothing on its way; or nothing, and loads it with the next click."""
    return stack.shown(project) in ({}, (*stack.counts(project), 0))


class Outcomes:
    """The records that have come into vote.results since it was made."""

    def __init__(self, stack):
        self.tail = Tail(stack, "vote.results", from_end=True)
        self.records = []

    def read(self):
        for message in self.tail.read():
            self.records.append((dict(message.headers())["ce_type"].decode(), json.loads(message.value())))
        return self

    def request_ids(self):
        return {value["request_id"] for _, value in self.read().records}

    def types_of(self, request_id):
        return [ce_type for ce_type, value in self.read().records if value["request_id"] == request_id]


class Load:
    """Four people in a row who click at random until they are told to stop. Each 202 is remembered, and what failed."""

    def __init__(self, stack, projects=5, users=40, url=None):
        tag = uuid.uuid4().hex[:8]
        self.stack, self.url, self.accepted, self.failed, self.answers = stack, url or stack.url, [], [], 0
        self.projects = [f"{tag}-{n}" for n in range(projects)]
        self.tokens = [sign(f"{tag}-u{n}") for n in range(users)]
        self.ended = threading.Event()
        stack.add_projects(*self.projects)
        self.outcomes = Outcomes(stack)
        self.threads = [threading.Thread(target=self.click, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def click(self):
        session = requests.Session()
        while not self.ended.wait(0.01):
            self.click_once(session)

    def click_once(self, session):
        body = {"project_id": random.choice(self.projects), "vote_type": random.choice(("up", "down", "none"))}
        try:
            answer = session.post(self.url + "/api/votes", json=body, timeout=30,
                                  headers={"Authorization": "Bearer " + random.choice(self.tokens)})
        except requests.RequestException as error:
            self.failed.append(repr(error))
            return
        self.answers += 1
        if answer.status_code == 202:
            self.accepted.append(answer.json()["data"]["request_id"])
        else:
            self.failed.append(f"{answer.status_code} {answer.text}")

    def wait_more(self, count, seconds=90):
        """Until so many more votes have been accepted."""
        goal = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= goal, seconds, f"{count} more votes")

    def wait_committed(self, count, seconds=90):
        """Until so many more votes are in the ledger."""
        goal = self.committed() + count
        wait_until(lambda: self.committed() >= goal, seconds, f"{count} more commits")

    def committed(self):
        return self.stack.sql("select count(*) from vote.log where project_id = any(%s)", self.projects)[0][0]

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(40)

    def close(self):
        self.stop()
        self.outcomes.tail.close()

    def check(self):
        """The promises: each accepted vote once in the ledger, announced, and the sums right."""
        self.stop()
        assert self.accepted
        wait_until(lambda: self.stack.sql("select count(*) from vote.outbox") == [(0,)], 30, "the relay")
        wait_applied(self.stack)
        check_accepted(self.stack, self.accepted, self.outcomes)
        check_sums(self.stack)


def check_accepted(stack, request_ids, outcomes):
    rows = dict(stack.sql("select request_id::text, count(*) from vote.log where request_id = any(%s::uuid[]) group by 1",
                          list(request_ids)))
    missing = set(request_ids) - rows.keys()
    assert not missing, f"{len(missing)} of {len(request_ids)} accepted votes are not in the ledger"
    assert {count for count in rows.values()} == {1}
    silent = set(request_ids)

    def announced():
        silent.difference_update(outcomes.request_ids())
        return not silent
    try:
        wait_until(announced, 20)
    except AssertionError:
        places = stack.sql('select "partition", "offset" from vote.log where request_id = any(%s::uuid[]) order by 1, 2', list(silent))
        raise AssertionError(f"{len(silent)} accepted votes have no result: {places[:20]}") from None


def check_sums(stack):
    stack.assert_totals_equal_rows()
    audit = stack.run("vote-admin", "audit")
    assert audit.returncode == 0 and audit.stdout.endswith("audit: clean\n"), audit.stdout + audit.stderr
