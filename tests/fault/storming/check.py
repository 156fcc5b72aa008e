# check.py - are the promises kept? Vote by vote, from evidence alone, with no code of the product. SPDX-License-Identifier: Apache-2.0
import collections
import datetime
import json

VALUES = {"up": 1, "down": -1, "none": 0, None: 0}
TYPES = {"committed": ("vote.cast.v1", "vote.removed.v1"), "reconciled": ("vote.reconciled.v1",),
         "superseded": ("vote.superseded.v1",), "failed": ("vote.failed.v1",)}
# Refused before anything was done. 409 says that an attempt before is still at work.
REFUSALS = (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503)
SLOW_SECONDS = 0.4  # nearly what vote-ingest waits for Redis
REASONS = ("__connect.errors.exception.message", "__dlq.errors.message", "vote_attempts")
UNKNOWN = "outcome-unknown"  # a 503 that says so is no refusal
GUARD = ("redis", "vote-ingest", "clients>")  # what the memory of an Idempotency-Key hangs on


def decode(record):
    try:
        value = json.loads(bytes.fromhex(record["value"]))
        return value if isinstance(value, dict) and "previous" in value and "seq" in value else None
    except ValueError:
        return None


def milliseconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


class Case:
    """The evidence, by what the promises ask of it."""

    def __init__(self, evidence):
        self.evidence, self.checked, self.violations = evidence, collections.Counter(), []
        self.rows = collections.defaultdict(list)
        self.clicks = {click["variant"]: click for click in evidence["clicks"]}
        self.accepted = {a["data"]["request_id"]: (click, a) for click in evidence["clicks"] for a in click["attempts"] if a.get("data")}
        for row in evidence["ledger"]:
            self.rows[row["request_id"]].append(row)
        self.events, self.appended, self.results = {}, {}, collections.defaultdict(list)
        for record in evidence["requests"]:
            event = decode(record)
            if event:
                self.events.setdefault(event["request_id"], {**event, "key": record["key"]})
                first = self.appended.setdefault(event["request_id"], record["timestamp"])
                self.appended[event["request_id"]] = min(first, record["timestamp"])
        for record in evidence["results"]:
            value = json.loads(bytes.fromhex(record["value"]))
            self.results[value["request_id"]].append({**value, "type": record["headers"]["ce_type"], "timestamp": record["timestamp"],
                                                        "offset": record["offset"]})
        self.projects = {row["project_id"]: row for row in evidence["projects"]}

    def expect(self, promise, holds, text):
        self.checked[promise] += 1
        if not holds:
            self.violations.append((promise, text))

    def outcome(self, request_id):
        rows = self.rows.get(request_id)
        return rows[0]["outcome"] if rows else None

    def standing(self):
        """What the log says each user's vote is: the highest seq, of what did not fail."""
        newest = {}
        for event in self.events.values():
            place = event["project_id"], event["user_id"]
            if self.outcome(event["request_id"]) != "failed" and event["seq"] > newest.get(place, {"seq": -1})["seq"]:
                newest[place] = event
        return newest

    def disturbed(self, click):
        """Whether a fault, or a machine that hardly moves, may have cost the memory of its Idempotency-Key while it was sent."""
        if any(a.get("ended", float("inf")) - a["begun"] > SLOW_SECONDS for a in click["attempts"]):
            return True
        begun, ended = click["attempts"][0]["begun"] - 1, click["attempts"][-1].get("ended", float("inf")) + 1
        return any(any(part in target for part in GUARD) and start <= ended and end + 2 >= begun
                   for target, start, end in self.evidence["history"])


def check_accepted(case):
    for request_id, (click, attempt) in case.accepted.items():
        case.expect("G1", case.rows.get(request_id), f"accepted {request_id} is not in the ledger")
        event = case.events.get(request_id)
        case.expect("G1", event, f"accepted {request_id} is not in vote.requests")
        if event:
            told = attempt["data"]["user_vote"], click["user"], click["project"], click["variant"], click["project"]
            kept = event["vote_type"], event["user_id"], event["project_id"], event.get("variant"), event["key"]
            case.expect("G1", (VALUES[told[0]], *told[1:]) == (VALUES[kept[0]], *kept[1:]),
                        f"accepted {request_id} was told {told} and is kept as {kept}")
    left = case.evidence["left"][0]
    case.expect("G1", left == {"outbox": 0, "parked": 0}, f"there is work left: {left}")


def check_counted_once(case):
    for request_id, rows in case.rows.items():
        case.expect("G2", len(rows) == 1, f"request {request_id} is in the ledger {len(rows)} times")
    requests_of = collections.defaultdict(set)
    for request_id, rows in case.rows.items():
        requests_of[rows[0]["variant"]].add(request_id)
        case.expect("G2", rows[0]["variant"] in case.clicks, f"request {request_id} is no click of anybody")
    for variant, click in case.clicks.items():
        found = requests_of.get(variant, set())
        possible = sum((a["status"] not in REFUSALS or a.get("problem") == UNKNOWN) and not a.get("replayed") for a in click["attempts"])
        case.expect("G2", len(found) <= possible, f"click {variant} was let in {possible} times and is counted as {sorted(found)}")
        if click["key"] and click["attempts"] and not case.disturbed(click):
            case.expect("G2", len(found) <= 1, f"click {variant} was sent again with its Idempotency-Key and is counted as {sorted(found)}")
    check_sums(case)


def check_sums(case):
    """What is added up rather than set: versions, and what owners are told."""
    versions, counts = collections.defaultdict(set), {}
    for rows in case.rows.values():
        versions[rows[0]["project_id"]].add(rows[0]["version"])
    for project, row in case.projects.items():
        missing = set(range(1, row["version"] + 1)) - versions[project]
        case.expect("G2", not missing, f"versions {sorted(missing)[:5]} of {project} belong to no request")
    for row in case.evidence["notified"]:
        project = case.projects[row["project_id"]]
        case.expect("G2", (row["upvotes"], row["downvotes"]) == (project["upvotes"], project["downvotes"]),
                    f"the owner of {row['project_id']} was told of {row['upvotes']}, {row['downvotes']}: it has {project}")
    for request_id, results in case.results.items():
        for result in results:
            now = result["upvotes"], result["downvotes"]
            first = counts.setdefault((result["project_id"], result["version"]), now)
            case.expect("G2", first == now, f"{request_id}: version {result['version']} of {result['project_id']} is {first} and {now}")


def check_last_click(case):
    standing = case.standing()
    rows = {(row["project_id"], row["user_id"]): row for row in case.evidence["votes"]}
    for place in standing.keys() | rows.keys():
        event, row = standing.get(place), rows.get(place)
        holds = event and row and (VALUES[event["vote_type"]], event["seq"], event["request_id"]) == (
            row["value"], row["seq"], row["request_id"])
        case.expect("G3", holds, f"{place}: {row and row['request_id']} stands, and the last click is {event and event['request_id']}")
    last = {}
    for click in case.evidence["clicks"]:
        place, attempts = (click["project"], click["user"]), click["attempts"]
        if len(attempts) == 1 and attempts[0].get("data"):
            event = case.events.get(attempts[0]["data"]["request_id"])
            if event:
                before = last.get(place, {"seq": -1, "request_id": None})
                case.expect("G3", event["seq"] > before["seq"],
                            f"{event['request_id']} was clicked after {before['request_id']} with a lower seq")
                last[place] = event


def check_totals(case):
    sums = collections.Counter((row["project_id"], row["value"]) for row in case.evidence["votes"])
    for project, row in case.projects.items():
        want = sums[project, 1], sums[project, -1]
        case.expect("G4", (row["upvotes"], row["downvotes"], row["vote_count"]) == (*want, want[0] - want[1]),
                    f"{project} has {row['upvotes']}, {row['downvotes']}, and its rows add up to {want}")
    samples = case.evidence["samples"]
    case.expect("G4", not samples["wrong"], f"in a state on the way totals differed from rows: {samples['wrong'][:5]}")
    case.checked["G4"] += samples["taken"]


def check_announced(case):
    for request_id, rows in case.rows.items():
        row, results = rows[0], case.results.get(request_id, [])
        fitting = [result for result in results if result["type"] in TYPES[row["outcome"]]]
        case.expect("G5", fitting, f"{request_id} is {row['outcome']} and was announced as {[r['type'] for r in results]}")
        case.expect("G5", all(result["timestamp"] >= row["committed_ms"] - 1 for result in fitting),
                    f"{request_id} was announced before its commit")
    for request_id, event in case.events.items():
        case.expect("G5", case.results.get(request_id), f"{request_id} is in vote.requests and has no result")


def check_poison(case):
    dead = collections.Counter((record["key"], record["value"]) for record in case.evidence["dead"])
    for record in case.evidence["poison"]:
        case.expect("G6", dead[record["key"], record["value"]], f"a poisonous record of {record['key']} is not in vote.dead")
    failed = {request_id for request_id, rows in case.rows.items() if rows[0]["outcome"] == "failed"}
    buried = set()
    for record in case.evidence["dead"]:
        headers, event = record["headers"], decode(record)
        case.expect("G6", all(headers.get(name) for name in REASONS),
                    f"a record of {record['key']} is dead without a reason")
        if event:
            buried.add(event["request_id"])
    for request_id in failed | buried:
        event = case.events.get(request_id, {})
        case.expect("G6", request_id in failed and request_id in buried,
                    f"{request_id} is {case.outcome(request_id)}, and {'' if request_id in buried else 'not '}in vote.dead")
        case.expect("G6", "refused" in event.get("user_id", "") and event["vote_type"] == "down",
                    f"{request_id} failed, and nothing was wrong with it")
    for answer in case.evidence["bad"]:
        case.expect("G6", answer["status"] in (answer["expected"], 503), f"{answer['what']} got {answer['status']}")


def check_optimism(case):
    rows = collections.defaultdict(dict)
    for row in case.evidence["votes"]:
        if row["value"]:
            rows[row["project_id"]][row["user_id"]] = row["value"]
    for project, state in case.evidence["redis"].items():
        truth = case.projects[project]
        want = {"upvotes": truth["upvotes"], "downvotes": truth["downvotes"], "version": truth["version"], "pending": 0}
        shown = {name: state[name] for name in want}
        case.expect("G7", shown == want, f"redis shows {shown} of {project}: it is {want}")
        voters = state["voters"]
        wrong = sorted(user for user in rows[project].keys() | voters.keys() if rows[project].get(user) != voters.get(user))
        case.expect("G7", not wrong, f"redis has other votes on {project} than Postgres, of {wrong[:3]}")
    for request_id, results in case.results.items():
        if request_id in case.rows and case.outcome(request_id) != "failed":
            check_given_up(case, request_id, results)
    for status in case.evidence["statuses"]:
        case.expect("G7", status["state"] == case.outcome(status["request_id"]),
                    f"the status of {status['request_id']} is {status['state']}: it is {case.outcome(status['request_id'])}")
    check_own_votes(case)


def check_given_up(case, request_id, results):
    """Who is told of a failure may try again with the same Idempotency-Key, or a frozen machine may wake up: then the vote comes
    into the log behind it. That is no lie, as long as the log did not have it when it was told, and the last word is the truth."""
    outcome = case.outcome(request_id)
    for failure in [result for result in results if result["type"] == "vote.failed.v1"]:
        told = milliseconds(failure["committed_at"])
        case.expect("G7", case.appended.get(request_id, 0) >= told,
                    f"the user of {request_id} was told that it failed when the log had it: it is {outcome}")
    last = max(results, key=lambda result: result["offset"])["type"]
    case.expect("G7", last in TYPES[outcome], f"the last that the user of {request_id} was told is {last}: it is {outcome}")


def check_own_votes(case):
    names = {1: "up", -1: "down"}
    truth = collections.defaultdict(dict)
    for row in case.evidence["votes"]:
        if row["value"]:
            truth[row["user_id"]][row["project_id"]] = names[row["value"]]
    for user, shown in case.evidence["own_votes"].items():
        wrong = sorted(p for p in truth[user].keys() | shown.keys() if truth[user].get(p) != shown.get(p))
        case.expect("G7", not wrong, f"{user} is shown other votes than there are, on {wrong[:3]}")


def check_replay(case):
    for name in ("ledger", "votes", "projects", "notified"):
        def rows(table):
            return sorted(json.dumps(row, sort_keys=True) for row in table)
        before, after = rows(case.evidence[name]), rows(case.evidence["replayed"][name])
        case.checked["G8"] += len(before)
        case.expect("G8", before == after, f"a replay of everything changed vote.{name}: {sorted(set(after) ^ set(before))[:2]}")
    rebuilt = collections.Counter((place[0], VALUES[event["vote_type"]]) for place, event in case.standing().items())
    for project, row in case.projects.items():
        want = rebuilt[project, 1], rebuilt[project, -1]
        case.expect("G8", (row["upvotes"], row["downvotes"]) == want, f"{project} has {row}, and the log alone comes to {want}")


def check_private(case):
    for peek in case.evidence["peeks"] + [{**s, "user": s["other"], "status": s["other_status"]} for s in case.evidence["statuses"]]:
        case.expect("G10", peek["status"] in (404, 503), f"{peek['user']} was told of {peek['request_id']}, which is not theirs")
    for socket in case.evidence["sockets"]:
        case.expect("G10", not socket["leaks"], f"a public event told of somebody: {socket['leaks'][:3]}")
        for event in socket["own"]:
            row = (case.rows.get(event["request_id"]) or case.results.get(event["request_id"]) or [{}])[0]
            case.expect("G10", row.get("user_id") == socket["user"], f"{socket['user']} heard of {event['request_id']}")
    case.expect("G10", not case.evidence["logs"], f"logs name users: {case.evidence['logs'][:3]}")


def check_sockets(case):
    for number, socket in enumerate(case.evidence["sockets"]):
        for project, row in case.projects.items():
            want = {name: row[name] for name in ("upvotes", "downvotes", "version")}
            shown = socket["counts"].get(project)
            case.expect("sockets", shown == want, f"socket {number} shows {shown} of {project}: it is {want}")
        case.expect("sockets", not socket["backwards"], f"socket {number} went back: {socket['backwards'][:2]}")


PROMISES = {
    "G1": ("no accepted vote is lost", check_accepted),
    "G2": ("each vote counts exactly once", check_counted_once),
    "G3": ("last click wins", check_last_click),
    "G4": ("totals equal rows", check_totals),
    "G5": ("every outcome is announced", check_announced),
    "G6": ("no poison", check_poison),
    "G7": ("optimism is bounded", check_optimism),
    "G8": ("replay changes nothing", check_replay),
    "G10": ("nobody else's votes", check_private),
    "sockets": ("browsers end at the committed counts", check_sockets),
}


def judge(evidence):
    """The case, with how much was checked of each promise, and what broke it."""
    case = Case(evidence)
    for _, check in PROMISES.values():
        check(case)
    return case


def table(case):
    lines = [f"{'promise':44} {'checked':>8} {'violated':>8}"]
    broken = collections.Counter(promise for promise, _ in case.violations)
    for promise, (text, _) in PROMISES.items():
        lines.append(f"{promise + ': ' + text:44} {case.checked[promise]:8} {broken[promise]:8}")
    return "\n".join(lines)
