# test_traces.py - one vote's trace through all stages, and a collector that is slow, refuses or is away.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import time
import uuid

import pytest
import requests

from collector import Collector
from stack import free_port, wait_until
from test_invalidate import QUICK, begin_at_the_end, metric
from test_notify import Browser
from topics import read_topic

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
MS = 1_000_000
WHOLE = ("POST /api/votes", "redis step", "send vote.requests", ("vote-commit", "process vote.requests"), "postgres commit",
         "send vote.results", ("vote-notify", "process vote.results"), "broadcast to project", "broadcast to user",
         ("vote-invalidate", "process vote.results"), "purge")


class Traced:
    """All four stages, each exporting its spans to one collector."""

    def __init__(self, stack):
        self.stack, self.collector = stack, Collector()
        otlp = ("--otlp-endpoint", self.collector.url + "/", "--otlp-timeout", "5s")
        api, notify, group = free_port(), free_port(), "g-" + uuid.uuid4().hex[:8]
        self.url, self.notify_url = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{notify}"
        begin_at_the_end(stack, group)
        self.tools = [stack.ingest(api, *otlp), stack.commit("-X", "session.timeout.ms=6000", *otlp),
                      stack.tool("vote-notify", "--listen", f"127.0.0.1:{notify}", "--drain-timeout", "1s", "--conflate", "1s", *otlp),
                      stack.tool("vote-invalidate", "--group", group, *QUICK, *otlp)]
        self.ingest, self.commit, self.notify, self.invalidate = self.tools

    def start(self):
        for tool in self.tools:
            tool.start()
        return self

    def stop(self):
        for tool in self.tools:
            tool.stop()
        self.collector.stop()

    def vote(self, token, project, vote_type="up", url=None, headers=None, **body):
        return requests.post((url or self.url) + "/api/votes", timeout=30, json={"project_id": project, "vote_type": vote_type, **body},
                             headers={"Authorization": "Bearer " + token, **(headers or {})})

    def person(self):
        """A project that nobody has voted on, and somebody's token."""
        name = uuid.uuid4().hex[:12]
        self.stack.add_projects("p-" + name)
        return "p-" + name, self.stack.token("u-" + name)


@pytest.fixture(scope="module")
def traced(running):
    """The running servers, with these stages in the place of those that do not trace."""
    running.main_commit.stop()
    stages = Traced(running).start()
    yield stages
    stages.stop()


@pytest.fixture
def ingest(traced):
    """ingest(collector, flags...) starts a vote-ingest that exports there: (tool, its url)."""
    started = []

    def start(collector, *arguments):
        port = free_port()
        started.append((collector, traced.stack.ingest(port, "--otlp-endpoint", collector.url, *arguments).start()))
        return started[-1][1], f"http://127.0.0.1:{port}"

    yield start
    for collector, tool in started:
        collector.stop()
        tool.stop()


def request_id_of(answer):
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]["request_id"]


def whole_trace(traced, headers=None):
    """Somebody who looks at a project votes on it: the spans of that trace by name, and the request id."""
    project, token = traced.person()
    browser = Browser(traced.notify_url, token)
    try:
        browser.subscribe(project)
        request_id = request_id_of(traced.vote(token, project, headers=headers))
        wait_until(lambda: len(browser.of(project, "vote:cast")) == 2, 30, "the user's own event and the public one")
        return traced.collector.wait_for(traced.collector.trace_of(request_id), *WHOLE), request_id
    finally:
        browser.close()


def traceparent_of(stack, topic, request_id):
    return next(dict(m.headers())["traceparent"].decode() for m in read_topic(stack, topic)
                if request_id.encode() in m.value())


def test_one_vote_is_one_trace_through_all_four_stages(traced):
    spans, request_id = whole_trace(traced)
    post, process = spans["POST /api/votes"], spans["vote-commit", "process vote.requests"]
    notify, purge = spans["vote-notify", "process vote.results"], spans["vote-invalidate", "process vote.results"]
    parents = {"POST /api/votes": None, "redis step": post.id, "send vote.requests": post.id,
               ("vote-commit", "process vote.requests"): spans["send vote.requests"].id, "postgres commit": process.id,
               "send vote.results": process.id, ("vote-notify", "process vote.results"): spans["send vote.results"].id,
               ("vote-invalidate", "process vote.results"): spans["send vote.results"].id, "broadcast to project": notify.id,
               "broadcast to user": notify.id, "purge": purge.id}
    assert {name: spans[name].parent for name in WHOLE} == parents
    kinds = {"POST /api/votes": SERVER, "redis step": CLIENT, "send vote.requests": PRODUCER, "process vote.requests": CONSUMER}
    assert {name: spans[name].kind for name in kinds} == kinds
    assert post.attributes["http.response.status_code"] == 202 and post.attributes["vote.request_id"] == request_id
    assert spans["send vote.results"].attributes["vote.outcome"] == "committed"
    assert not any(span.failed for span in spans.values())


def test_the_times_of_a_trace_nest(traced):
    spans, _ = whole_trace(traced)
    assert all(span.start <= span.end for span in spans.values())
    by_id = {span.id: span for span in spans.values()}
    for span in by_id.values():
        parent = by_id.get(span.parent)
        if not parent:
            continue
        slack = 0 if parent.service == span.service else 3 * MS  # each process reads the clock for itself
        assert span.start >= parent.start - slack, (span.name, parent.name)
    inside = [("redis step", "POST /api/votes"), ("send vote.requests", "POST /api/votes"),
              ("postgres commit", ("vote-commit", "process vote.requests")), ("purge", ("vote-invalidate", "process vote.results")),
              ("broadcast to user", ("vote-notify", "process vote.results"))]
    for inner, outer in inside:
        assert spans[inner].end <= spans[outer].end, (inner, outer)
    assert spans["postgres commit"].end <= spans["send vote.results"].start
    waited = spans["purge"].start - spans["vote-invalidate", "process vote.results"].start
    assert 150 * MS < waited, "the debounce is in the trace"
    assert abs(spans["POST /api/votes"].end / 1e9 - time.time()) < 60


def test_records_carry_the_span_that_sent_them(traced):
    spans, request_id = whole_trace(traced)
    for topic in ("vote.requests", "vote.results"):
        sent = spans["send " + topic]
        assert traceparent_of(traced.stack, topic, request_id) == f"00-{sent.trace}-{sent.id}-01"


def test_the_batch_and_its_votes_link_to_each_other(traced):
    spans, _ = whole_trace(traced)
    vote, commit = spans["vote-commit", "process vote.requests"], spans["postgres commit"]
    batch = wait_until(lambda: [s for s in list(traced.collector.spans) if s.name == "commit batch" and (vote.trace, vote.id) in s.links], 20)[0]
    assert commit.links == [(batch.trace, batch.id)]
    assert batch.trace != vote.trace and batch.parent is None
    assert (batch.start, batch.end) == (commit.start, commit.end)


def test_a_callers_trace_goes_on(traced):
    trace, caller = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    spans, _ = whole_trace(traced, {"traceparent": f"00-{trace}-{caller}-01"})
    assert spans["POST /api/votes"].parent == caller
    assert {span.trace for span in spans.values()} == {trace}


def test_a_trace_that_is_not_sampled_goes_on_and_is_not_exported(traced):
    traceparent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-00"
    project, token = traced.person()
    unsampled = request_id_of(traced.vote(token, project, headers={"traceparent": traceparent}))
    wait_until(lambda: traced.stack.counts(project) == (1, 0), 30, "its commit")
    whole_trace(traced)  # a later one has come through all stages
    assert traced.collector.trace(traceparent.split("-")[1]) == []
    assert traceparent_of(traced.stack, "vote.results", unsampled) == traceparent


def test_the_stage_where_a_trace_begins_decides_for_all(traced, ingest):
    collector = Collector()
    _, url = ingest(collector, "--otlp-sample", "0")
    project, token = traced.person()
    unsampled = request_id_of(traced.vote(token, project, url=url))
    sampled = request_id_of(traced.vote(token, project, url=url, headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}))
    collector.wait_for("ab" * 16, "POST /api/votes", "send vote.requests")
    traced.collector.wait_for("ab" * 16, ("vote-commit", "process vote.requests"))
    trace = traceparent_of(traced.stack, "vote.requests", unsampled)
    assert trace.endswith("-00")
    assert traced.collector.trace(trace.split("-")[1]) == []
    assert {s.attributes.get("vote.request_id", sampled) for s in collector.spans} == {sampled}


def test_a_stage_that_does_not_trace_leaves_no_gap(traced):
    project, token = traced.person()
    trace, caller = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    request_id_of(traced.vote(token, project, url=traced.stack.url, headers={"traceparent": f"00-{trace}-{caller}-01"}))
    spans = traced.collector.wait_for(trace, ("vote-commit", "process vote.requests"))
    assert spans["vote-commit", "process vote.requests"].parent == caller


def test_a_vote_that_is_overtaken_before_its_event_is_told_by_the_next(traced):
    project, token = traced.person()
    browser = Browser(traced.notify_url)
    try:
        browser.subscribe(project)
        traces = [traced.collector.trace_of(request_id_of(traced.vote(traced.stack.token(f"u{n}-{project}"), project))) for n in range(3)]
        told = [traced.collector.wait_for(trace, "broadcast to project")["broadcast to project"] for trace in traces]
    finally:
        browser.close()
    conflated = ["vote.conflated" in span.attributes for span in told]
    assert conflated == [False, told[1].attributes.get("vote.conflated") == "true", False]
    assert sum(span.attributes.get("vote.coalesced", 0) for span in told) == 3
    assert told[0].attributes["vote.sockets"] == 1


def test_a_refused_vote_is_in_its_trace_with_its_status(traced):
    trace, (_, token) = uuid.uuid4().hex, traced.person()
    answer = traced.vote(token, "nobody-made-this", headers={"traceparent": f"00-{trace}-{'cd' * 8}-01"})
    assert answer.status_code == 404
    span = traced.collector.wait_for(trace, "POST /api/votes")["POST /api/votes"]
    assert span.attributes["http.response.status_code"] == 404 and not span.failed


def test_spans_say_which_process_made_them_and_name_no_user_project_or_vote(traced):
    project, token = traced.person()
    trace = traced.collector.trace_of(request_id_of(traced.vote(token, project)))
    traced.collector.wait_for(trace, "purge")
    resources = {r["service.name"]: r for r in traced.collector.resources}
    assert set(resources) == {"vote-ingest", "vote-commit", "vote-notify", "vote-invalidate"}
    assert all(r["service.version"] and r["service.instance.id"] and r["service.namespace"] == "votepipe" for r in resources.values())
    assert len({r["service.instance.id"] for r in resources.values()}) == 4
    _, path, headers, _ = traced.collector.calls[0]
    assert path == "/otlp/v1/traces" and headers["Content-Type"] == "application/json"
    sent = b"".join(body for _, _, _, body in list(traced.collector.calls))
    assert traced.stack.user_of(token).encode() not in sent and project.encode() not in sent and b'"up"' not in sent


def threads_of(tool):
    directory = f"/proc/{tool.process.pid}/task"
    return [open(os.path.join(directory, task, "comm")).read().strip() for task in os.listdir(directory)]


def test_without_an_endpoint_there_is_neither_thread_nor_metric(traced):
    for tool in traced.tools:
        assert threads_of(tool).count("otlp") == 1 and "vote_trace_spans_dropped_total" in tool.metrics()
    assert "otlp" not in threads_of(traced.stack.main_ingest)
    assert "vote_trace" not in traced.stack.main_ingest.metrics()


OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


def metrics_of(tool, **headers):
    return requests.get(f"http://127.0.0.1:{tool.admin_port}/metrics", headers=headers, timeout=5)


def exemplars(tool, name):
    """The traces that a histogram shows as OpenMetrics: trace id → (upper bound, value)."""
    pattern = name + r'_bucket\{le="([^"]+)"\} \d+ # \{trace_id="([0-9a-f]{32})"\} (\S+) \d+\.\d{3}$'
    return {trace: (float(bound), float(value)) for bound, trace, value in re.findall(pattern, metrics_of(tool, **OPENMETRICS).text, re.M)}


def test_histograms_show_traces_to_who_asks_for_openmetrics(traced):
    spans, _ = whole_trace(traced)
    post = spans["POST /api/votes"]
    bound, value = exemplars(traced.ingest, "vote_accept_duration_seconds")[post.trace]
    assert 0 < value <= bound and abs(value - (post.end - post.start) / 1e9) < 0.05
    assert post.trace in exemplars(traced.commit, "vote_commit_latency_seconds")
    assert post.trace in exemplars(traced.notify, "vote_notify_accepted_latency_seconds")
    page = metrics_of(traced.ingest, **OPENMETRICS)
    assert page.headers["Content-Type"].startswith("application/openmetrics-text") and page.text.endswith("\n# EOF\n")
    for plain in (metrics_of(traced.ingest), metrics_of(traced.stack.main_ingest, **OPENMETRICS)):
        assert plain.headers["Content-Type"].startswith("text/plain") and "trace_id" not in plain.text


def votes_of(traced, url, count):
    """So many votes, one after the other; how long the slowest took."""
    project, token = traced.person()
    slowest = 0
    for n in range(count):
        began = time.monotonic()
        request_id_of(traced.vote(token, project, ("up", "down")[n % 2], url=url))
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def spans_of(votes):
    """What vote-ingest makes of so many votes on a new project: the first one finds that Redis does not have it, and loads it."""
    return 3 * votes + 2


def dropped(tool, reason):
    return metric(tool, f'vote_trace_spans_dropped_total{{reason="{reason}"}}')


@pytest.mark.parametrize("kind", ["away", "hanging"])
def test_a_collector_that_is_away_or_hangs_slows_no_vote_and_what_is_dropped_is_counted(traced, ingest, kind):
    collector = Collector(hang=kind == "hanging", start=kind == "hanging")
    tool, url = ingest(collector, "--otlp-queue", "8", "--otlp-timeout", "20s")
    assert votes_of(traced, url, 40) < 10  # a vote that waited for the collector would take 20 s
    assert dropped(tool, "queue") > 0
    assert tool.is_ready() and requests.get(f"http://127.0.0.1:{tool.admin_port}/healthz", timeout=5).status_code == 200


def test_a_collector_that_answers_500_gets_no_span_twice(traced, ingest):
    collector = Collector(lambda number: (500, {}, b"out of order"))
    tool, url = ingest(collector)
    assert votes_of(traced, url, 10) < 10
    wait_until(lambda: dropped(tool, "refused") == spans_of(10), 20, "all are refused")
    bodies = [body for _, _, _, body in collector.calls]
    assert len(set(bodies)) == len(bodies)
    assert tool.is_ready() and metric(tool, "vote_trace_spans_exported_total") == 0
    assert "traces are not taken" in open(tool.log).read()


def test_retry_after_is_waited_for_and_nothing_is_lost(traced, ingest):
    collector = Collector(lambda number: (429, {"Retry-After": "3"}, b"") if number == 0 else (200, {}, b"{}"))
    tool, url = ingest(collector)
    votes_of(traced, url, 4)
    wait_until(lambda: len(collector.spans) == spans_of(4), 30, "all spans")
    (first, _, _, body), (second, _, _, again) = collector.calls[:2]
    assert second - first >= 2.9 and body == again
    assert dropped(tool, "queue") + dropped(tool, "refused") + dropped(tool, "unreachable") == 0
    assert "traces are taken again" in open(tool.log).read()


def test_a_collector_that_comes_back_gets_what_waited(traced, ingest):
    collector = Collector(start=False)
    tool, url = ingest(collector)
    votes_of(traced, url, 3)
    wait_until(lambda: "traces are not taken" in open(tool.log).read(), 20, "the first failure")
    collector.start()
    wait_until(lambda: len(collector.spans) == spans_of(3), 40, "all spans")
    wait_until(lambda: metric(tool, "vote_trace_spans_exported_total") == spans_of(3), 20, "their count")


def test_an_answer_without_end_is_not_kept(traced, ingest):
    def resident_mib():
        return next(int(line.split()[1]) for line in open(f"/proc/{tool.process.pid}/status") if line.startswith("VmHWM")) / 1024
    collector = Collector(lambda number: (200, {}, b" " * (64 << 20)))
    tool, url = ingest(collector)
    before = resident_mib()
    votes_of(traced, url, 3)
    wait_until(lambda: metric(tool, "vote_trace_spans_exported_total") == spans_of(3), 40, "all spans")
    assert resident_mib() - before < 48


def test_spans_that_the_collector_rejects_are_counted(traced, ingest):
    collector = Collector(lambda number: (200, {}, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}'))
    tool, url = ingest(collector)
    votes_of(traced, url, 1)
    wait_until(lambda: len(collector.spans) == spans_of(1), 20, "all spans")
    wait_until(lambda: dropped(tool, "refused") == len(collector.calls), 20, "the rejected ones")
    assert metric(tool, "vote_trace_spans_exported_total") == spans_of(1) - dropped(tool, "refused")


def test_a_stop_sends_what_is_left_also_what_waits_to_be_sent_again(traced, ingest):
    collector = Collector(lambda number: (429, {"Retry-After": "600"}, b"") if number == 0 else (200, {}, b"{}"))
    tool, url = ingest(collector)
    votes_of(traced, url, 5)
    wait_until(lambda: len(collector.calls) == 1, 20, "the call that is to be made again")
    assert tool.stop() == 0
    assert len(collector.spans) == spans_of(5)


def test_a_stop_waits_for_a_hanging_collector_no_longer_than_its_timeout(traced, ingest):
    collector = Collector(hang=True)
    tool, url = ingest(collector, "--otlp-timeout", "1s")
    votes_of(traced, url, 5)
    began = time.monotonic()
    assert tool.stop() == 0  # None: it did not leave by itself
    assert time.monotonic() - began < 15
    assert "spans are dropped at the stop" in open(tool.log).read()


@pytest.mark.parametrize("name", ["vote-ingest", "vote-commit", "vote-notify", "vote-invalidate"])
@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://", "http://me:word@collector:4318", "http://c/?x=1", ""])
def test_an_endpoint_that_is_no_url_stops_the_start(running, name, url):
    done = running.run(name, "--otlp-endpoint", url, "--admin-listen", f"127.0.0.1:{free_port()}", timeout=30)
    assert done.returncode == 78
    assert f"{name}: fatal: --otlp-endpoint is http://HOST[:PORT][/PATH] or https://..., without user, query or blanks" in done.stderr
    assert "word" not in done.stderr


def test_a_ratio_that_is_none_stops_the_start(running):
    done = running.run("vote-commit", "--otlp-sample", "1.5", timeout=30)
    assert done.returncode == 64 and "--otlp-sample" in done.stderr and "from 0 to 1" in done.stderr


# Last: it stops the Kafka that all of them use.
def test_a_vote_that_kafka_was_away_for_is_followed_through_the_outbox(traced):
    trace, (project, token) = uuid.uuid4().hex, traced.person()
    traced.stack.server("stop", "kafka")
    try:
        request_id_of(traced.vote(token, project, headers={"traceparent": f"00-{trace}-{'cd' * 8}-01"}))
    finally:
        traced.stack.server("start", "kafka")
    spans = traced.collector.wait_for(trace, ("vote-commit", "send vote.requests"), ("vote-commit", "process vote.requests"), seconds=90)
    assert spans["postgres apply"].parent == spans["POST /api/votes"].id
    assert spans["vote-commit", "send vote.requests"].parent == spans["postgres apply"].id
    assert spans["vote-ingest", "send vote.requests"].failed
