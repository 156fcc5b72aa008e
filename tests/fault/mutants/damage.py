# damage.py - evidence of a good run, damaged so that one promise after the other is broken: the checker has to see each.
# SPDX-License-Identifier: Apache-2.0
import json


def accepted(evidence):
    """The first accepted vote that is committed: its click, its answer, its row."""
    rows = {row["request_id"]: row for row in evidence["ledger"] if row["outcome"] == "committed"}
    return next((click, attempt["data"], rows[attempt["data"]["request_id"]]) for click in evidence["clicks"]
                for attempt in click["attempts"] if attempt.get("data") and attempt["data"]["request_id"] in rows)


def without(rows, name, value):
    return [row for row in rows if row[name] != value]


def lose_an_accepted_vote(evidence):
    evidence["ledger"] = without(evidence["ledger"], "request_id", accepted(evidence)[1]["request_id"])


def lose_an_event(evidence):
    needle = accepted(evidence)[1]["request_id"].encode().hex()
    evidence["requests"] = [record for record in evidence["requests"] if needle not in record["value"]]


def keep_another_vote_than_told(evidence):
    data = accepted(evidence)[1]
    data["user_vote"] = "down" if data["user_vote"] == "up" else "up"


def count_twice(evidence):
    evidence["ledger"].append(accepted(evidence)[2])


def count_what_was_refused(evidence):
    click = accepted(evidence)[0]
    click["attempts"] = [{"status": 503, "problem": "temporary-reduced-capacity", "begun": 0, "ended": 0}]


def count_a_retry_again(evidence):
    """With nothing that may have cost the memory of the key: no fault, and no slow machine."""
    evidence["history"] = []
    click, _, row = accepted(evidence)
    click["key"], click["attempts"] = "k", [{**attempt, "ended": attempt["begun"]} for attempt in click["attempts"] * 2]
    evidence["ledger"].append({**row, "request_id": "11111111-1111-7111-8111-111111111111"})


def tell_the_owner_twice(evidence):
    evidence["notified"][0]["upvotes"] += 1


def let_an_older_click_stand(evidence):
    row = evidence["votes"][0]
    row["value"], row["seq"] = -row["value"] or 1, row["seq"] - 1


def click_backwards(evidence):
    """Two clicks of one user in the wrong order."""
    places = {}
    for click in evidence["clicks"]:
        if len(click["attempts"]) == 1 and click["attempts"][0].get("data"):
            before = places.setdefault((click["project"], click["user"]), click)
            if before is not click:
                before["attempts"], click["attempts"] = click["attempts"], before["attempts"]
                return
    raise AssertionError("nobody clicked twice")


def drift(evidence):
    evidence["projects"][0]["upvotes"] += 1


def drift_on_the_way(evidence):
    evidence["samples"]["wrong"] = [evidence["projects"][0]["project_id"]]


def announce_nothing(evidence):
    needle = accepted(evidence)[1]["request_id"].encode().hex()
    evidence["results"] = [record for record in evidence["results"] if needle not in record["value"]]


def announce_too_early(evidence):
    needle = accepted(evidence)[1]["request_id"].encode().hex()
    for record in evidence["results"]:
        if needle in record["value"]:
            record["timestamp"] -= 60000


def bury_nothing(evidence):
    evidence["dead"] = [record for record in evidence["dead"] if record["value"] != evidence["poison"][0]["value"]]


def bury_a_good_vote(evidence):
    needle = accepted(evidence)[1]["request_id"].encode().hex()
    record = next(record for record in evidence["requests"] if needle in record["value"])
    evidence["dead"].append({**record, "headers": evidence["dead"][0]["headers"]})


def show_what_is_not_so(evidence):
    next(iter(evidence["redis"].values()))["upvotes"] += 1


def leave_it_pending(evidence):
    evidence["statuses"][0]["state"] = "pending"


def show_a_user_another_vote(evidence):
    shown = next(votes for votes in evidence["own_votes"].values() if votes)
    shown.popitem()


def result_of(evidence, request_id):
    return next(record for record in evidence["results"] if request_id.encode().hex() in record["value"])


def tell_of_a_failure(evidence, at, offset):
    """As if the sweep had given up an accepted vote."""
    good = result_of(evidence, accepted(evidence)[1]["request_id"])
    value = {**json.loads(bytes.fromhex(good["value"])), "committed_at": at}
    headers = {**good["headers"], "ce_type": "vote.failed.v1"}
    evidence["results"].append({**good, "value": json.dumps(value).encode().hex(), "headers": headers, "offset": offset})


def give_up_what_the_log_has(evidence):
    tell_of_a_failure(evidence, "2100-01-01T00:00:00.000Z", -1)


def end_with_a_failure(evidence):
    tell_of_a_failure(evidence, "2000-01-01T00:00:00.000Z", 10**9)


def replay_changes_a_row(evidence):
    evidence["replayed"]["projects"][0]["version"] += 1


def rebuild_to_other_counts(evidence):
    """The log has a vote that the tables do not: a rebuild would."""
    record = next(r for r in evidence["requests"] if accepted(evidence)[1]["request_id"].encode().hex() in r["value"])
    event = json.loads(bytes.fromhex(record["value"]))
    event |= {"request_id": "11111111-1111-7111-8111-111111111111", "user_id": "nobody", "vote_type": "up"}
    evidence["requests"].append({**record, "value": json.dumps(event).encode().hex()})


def tell_a_stranger(evidence):
    evidence["statuses"][0]["other_status"] = 200


def hear_of_a_stranger(evidence):
    socket = next(socket for socket in evidence["sockets"] if socket["user"])
    other = next(row for row in evidence["ledger"] if row["user_id"] != socket["user"])
    socket["own"].append({"event": "vote:cast", "request_id": other["request_id"], "user_vote": "up"})


def log_a_user(evidence):
    evidence["logs"].append("vote-ingest-1.log:1")


def end_at_old_counts(evidence):
    next(iter(evidence["sockets"][0]["counts"].values()))["version"] -= 1


def go_back(evidence):
    evidence["sockets"][0]["backwards"].append("version 1 behind 2")


DAMAGES = {
    "G1": (lose_an_accepted_vote, lose_an_event, keep_another_vote_than_told),
    "G2": (count_twice, count_what_was_refused, count_a_retry_again, tell_the_owner_twice),
    "G3": (let_an_older_click_stand, click_backwards),
    "G4": (drift, drift_on_the_way),
    "G5": (announce_nothing, announce_too_early),
    "G6": (bury_nothing, bury_a_good_vote),
    "G7": (show_what_is_not_so, leave_it_pending, give_up_what_the_log_has, end_with_a_failure, show_a_user_another_vote),
    "G8": (replay_changes_a_row, rebuild_to_other_counts),
    "G10": (tell_a_stranger, hear_of_a_stranger, log_a_user),
    "sockets": (end_at_old_counts, go_back),
}
