# changes.py - changes of the product that break one promise each, and what has to happen for it to show.
# SPDX-License-Identifier: Apache-2.0
import dataclasses

from storming.plan import BROKERS, Fault


@dataclasses.dataclass(frozen=True)
class Mutant:
    promise: str
    what: str
    file: str
    old: str
    new: str
    faults: tuple = ()


def away_from_kafka(mode, at, seconds):
    return tuple(Fault(at, seconds, "cut", f"vote-ingest-{n}>{broker}", mode) for n in (1, 2) for broker in BROKERS)


MUTANTS = (
    Mutant("G1", "answers 202 without Kafka's acknowledgement", "cmd/vote-ingest/publish.c",
           "    click_published(click, !click->delivery);", "    click_published(click, true);",
           away_from_kafka("hang", 3, 6)),
    Mutant("G2", "forgets which request an Idempotency-Key stands for", "cmd/vote-ingest/guard.c",
           '    if (!strcmp(verdict, "replay")) {',
           '    if (!strcmp(verdict, "replay"))\n        return GUARD_GO;\n    if (!strcmp(verdict, "-")) {'),
    Mutant("G3", "lets the first click stand", "lib/vote/sql/0013_totals.sql",
           "           set value = excluded.value, seq = excluded.seq, request_id = excluded.request_id,",
           "           set value = v.value, seq = excluded.seq, request_id = excluded.request_id,"),
    Mutant("G4", "forgets the totals' downvotes", "lib/vote/sql/0013_totals.sql",
           "set upvotes = excluded.upvotes, downvotes = excluded.downvotes,", "set upvotes = excluded.upvotes, downvotes = p.downvotes,"),
    Mutant("G5", "announces all but one in twenty", "cmd/vote-commit/announce.c",
           "        if (entry->left_out)\n            continue;\n        vote_span_begin",
           "        if (entry->left_out || entry->message->offset % 20 == 7)\n            continue;\n        vote_span_begin"),
    Mutant("G6", "drops what it cannot read", "cmd/vote-commit/batch.c",
           "    if (!decoded)\n        entry_bury(", "    if (!decoded && 0)\n        entry_bury("),
    Mutant("G7", "settles Redis without the requests that were on their way", "lib/vote/lua/settle.lua",
           "pending - 1, pending_up - up, pending_down - down", "pending - 1, pending_up, pending_down"),
    Mutant("G8", "keeps the ledger under the time of the commit", "lib/vote/sql/0013_totals.sql",
           "        select s.request_id, s.accepted_at, case when", "        select s.request_id, now_at, case when"),
    Mutant("G10", "shows anybody any request", "cmd/vote-ingest/api_read.c",
           "if (!values[0] || (!token->admin && strcmp(values[0], token->user_id) != 0)) {", "if (!values[0] || !token) {"),
    Mutant("sockets", "sends what is known, not what is new", "cmd/vote-notify/project.c",
           "    project->counts = (struct counts){.upvotes = result->upvotes,",
           "    if (project->is_known && result->version % 3 == 0)\n        return;\n"
           "    project->counts = (struct counts){.upvotes = result->upvotes,"),
)
