# evidence.py - what is found when the storm is over: what clients were told, the topics, the tables, Redis, the API and the logs.
# All of it is plain data, so that it can be kept as JSON and judged again. SPDX-License-Identifier: Apache-2.0
import contextlib
import glob
import os
import random
import threading

import requests

from stack import wait_until
from topics import read_topic, requests_log, produce, wait_applied

TABLES = {
    "ledger": "select request_id::text, user_id, project_id, value, seq, outcome, variant, version, "
              "(extract(epoch from committed_at) * 1000)::bigint as committed_ms from vote.log",
    "votes": "select project_id, user_id, value, seq, request_id::text from vote.votes order by 1, 2",
    "projects": "select project_id, upvotes, downvotes, vote_count, version from vote.projects order by 1",
    "notified": "select project_id, sum(upvotes)::bigint as upvotes, sum(downvotes)::bigint as downvotes "
                "from vote.notifications group by 1",
    "left": "select (select count(*) from vote.outbox) as outbox, (select count(*) from vote.parked) as parked",
}
TOTALS_SQL = ("select p.project_id from vote.projects p left join (select project_id, count(*) filter (where value = 1) up, "
              "count(*) filter (where value = -1) down from vote.votes group by 1) v using (project_id) "
              "where (p.upvotes, p.downvotes, p.vote_count) is distinct from "
              "(coalesce(v.up, 0), coalesce(v.down, 0), coalesce(v.up, 0) - coalesce(v.down, 0))")
SAMPLE_SECONDS = 1
STATUSES = 250


class TotalsSampler:
    """Looks all the time whether totals equal rows, each time in one statement, so in one committed state."""

    def __init__(self, site):
        self.site, self.taken, self.wrong, self.ended = site, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            try:
                self.wrong += [row[0] for row in self.site.sql(TOTALS_SQL)]
                self.taken += 1
            except Exception:  # Postgres is away, as the plan has it
                continue

    def stop(self):
        self.ended.set()
        self.thread.join(60)
        return {"taken": self.taken, "wrong": sorted(set(self.wrong))}


def read_table(site, name):
    connection = site.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(TABLES[name])
        columns = [column.name for column in cursor.description]
        rows = [dict(zip(columns, row)) for row in cursor.fetchall()]
    connection.close()
    return [{name: int(value) if hasattr(value, "as_integer_ratio") else value for name, value in row.items()} for row in rows]


def read_log(site, topic):
    return [{"partition": m.partition(), "offset": m.offset(), "timestamp": m.timestamp()[1], "key": (m.key() or b"").decode(),
             "value": m.value().hex(), "headers": {name: (value or b"").decode("utf-8", "replace") for name, value in m.headers() or ()}}
            for m in read_topic(site, topic)]


def read_redis(site, projects):
    client, found = site.redis(), {}
    for project in projects:
        state = client.hgetall("vote:state:{%s}" % project)
        voters = client.hgetall("vote:voters:{%s}" % project)
        if state:
            found[project] = {**{name: int(state[name]) for name in ("upvotes", "downvotes", "version", "pending")},
                              "voters": {user: int(value) for user, value in voters.items() if value != "0"}}
    return found


def ask(site, token, path):
    """By any instance, not by its link: the links are the storm's."""
    answer = requests.get(f"http://127.0.0.1:{site.proxy.targets['clients>vote-ingest-1']}{path}", timeout=30,
                          headers={"Authorization": "Bearer " + token})
    return answer.status_code, answer.json().get("data")


def read_statuses(site, clicks):
    """What owners are told of their accepted votes, and others are not."""
    told = [(click, a["data"]["request_id"]) for click in clicks.clicks for a in click["attempts"] if a.get("data")]
    rng, users, found = random.Random(1), list(clicks.tokens), []
    for click, request_id in rng.sample(told, min(STATUSES, len(told))):
        _, data = ask(site, clicks.tokens[click["user"]], "/api/votes/status/" + request_id)
        other = rng.choice([user for user in users if user != click["user"]])
        found.append({"request_id": request_id, "user": click["user"], "state": data and data["state"], "other": other,
                      "other_status": ask(site, clicks.tokens[other], "/api/votes/status/" + request_id)[0]})
    return found


def read_own_votes(site, clicks):
    """What each user is shown as their votes."""
    found = {}
    for user, token in clicks.tokens.items():
        _, data = ask(site, token, "/api/votes/user?limit=1000")
        found[user] = {vote["project_id"]: vote["vote_type"] for vote in data["votes"]}
    return found


def read_logs(site, clicks):
    """Lines of the tools' logs that name a user or have a token."""
    secrets = [clicks.tag + "-user", clicks.tag + "-refused", *(token[-40:] for token in clicks.tokens.values())]
    found = []
    for path in glob.glob(os.path.join(site.directory, "vote-*.log")):
        for number, line in enumerate(open(path, errors="replace"), 1):
            if any(secret in line for secret in secrets):
                found.append(f"{os.path.basename(path)}:{number}")
    return found


def replay_everything(site):
    """The whole of vote.requests into itself again: what the tables are then, and what a scratch database would be."""
    produce(site, requests_log(site))
    with contextlib.suppress(AssertionError):  # then the tables say so
        wait_applied(site, 120)
        wait_until(lambda: site.sql("select count(*) from vote.parked") == [(0,)], 60, "nothing parked")
    return {name: read_table(site, name) for name in ("ledger", "votes", "projects", "notified")}


def collect(site, clicks, watchers, samples, history):
    evidence = {"tag": clicks.tag, "seed": clicks.seed, "clicks": clicks.clicks, "bad": clicks.bad, "peeks": clicks.peeks,
                "poison": clicks.poison, "history": history, "samples": samples, "sockets": watchers.evidence(),
                "redis": read_redis(site, clicks.projects), "statuses": read_statuses(site, clicks),
                "own_votes": read_own_votes(site, clicks), "logs": read_logs(site, clicks)}
    evidence |= {name: read_table(site, name) for name in TABLES}
    evidence |= {name: read_log(site, "vote." + name) for name in ("requests", "results", "dead")}
    evidence["replayed"] = replay_everything(site)
    return evidence
