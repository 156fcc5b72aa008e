# test_tools.py - the command line as people and scripts use it. SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import subprocess
import time

import jwt
import pytest
from confluent_kafka.admin import AdminClient

from stack import BIN, ROOT, SECRET, wait_until

TOOLS = ("vote-ingest", "vote-commit", "vote-notify", "vote-invalidate", "vote-admin", "vote-tail", "vote-replay", "vote-load")


def test_real_votes_posted_in_order_of_time_come_out_exactly(stack):
    stack.run("vote-admin", "projects", "import", ROOT + "/tests/data/london.projects.csv", check=True)
    load = stack.run("vote-load", "--file", ROOT + "/tests/data/london.votes.csv", "--verify")
    assert load.returncode == 0, load.stdout + load.stderr
    assert "accepted          640" in load.stdout and "verified 36 projects, 0 differ" in load.stdout
    audit = stack.run("vote-admin", "audit")
    assert (audit.returncode, audit.stdout.splitlines()[-1]) == (0, "audit: clean"), audit.stdout


def test_a_mix_is_accepted(stack):
    stack.add_projects(*[f"p{n}" for n in range(1, 6)])
    load = stack.run("vote-load", "--users", "50", "--projects", "5", "--hot", "0.5", "--duration", "1s", "--format", "json")
    figures = json.loads(load.stdout)
    assert load.returncode == 0 and figures["accepted"] > 50 and figures["refused"] == 0


@pytest.mark.parametrize("users, projects", ((2, 1), (5, 2), (300, 3)))
def test_a_mix_of_few_is_sent_and_verified(stack, users, projects):
    """Fewer users and projects than connections: all may have a vote under way; and others vote there, too."""
    names = [f"p{n}" for n in range(1, projects + 1)]
    stack.add_projects(*names)
    stack.vote(stack.token("another"), "p1", "down", toggle=False)
    for _ in range(2):
        load = stack.run("vote-load", "--users", str(users), "--projects", str(projects), "--duration", "1s", "--verify", timeout=60)
        assert load.returncode == 0, load.stdout + load.stderr
        assert re.search(r"^verified [1-9]\d* votes, 0 differ$", load.stdout, re.M)


def test_a_mix_that_does_not_stand_is_told(stack):
    stack.add_projects("p1")
    load = subprocess.Popen([BIN + "/vote-load", "--users", "3", "--projects", "1", "--duration", "2s", "--verify", "--verify-timeout", "1s"],
                            env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: stack.sql("select count(*) from vote.log where user_id = 'u1' and project_id = 'p1' and committed_at > now() - interval '1 s'")
               != [(0,)], 20, "it votes")
    stack.main_commit.signal(signal.SIGSTOP)
    try:
        output, error = load.communicate(timeout=60)
    finally:
        stack.main_commit.signal(signal.SIGCONT)
    assert load.returncode == 1 and "differs: p1 (not committed in time)" in output and "fatal: 1 votes differ" in error, output + error


def test_a_mix_ends_with_its_time_where_no_server_is(stack):
    began = time.monotonic()
    load = stack.run("vote-load", "--users", "2", "--projects", "1", "--duration", "1s", "--url", "http://127.0.0.1:1", timeout=60)
    assert load.returncode == 69 and time.monotonic() - began < 20


def test_load_says_which_line_is_bad(stack, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("timestamp,user_id,project_id,vote_type\n1,u1,p1,up\n2,u 1,p1,up\n")
    load = stack.run("vote-load", "--file", str(path))
    assert (load.returncode, load.stderr.count("line 3, column 2: user_id")) == (65, 1)


def test_load_without_a_server_is_unavailable(stack, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("timestamp,user_id,project_id,vote_type\n1,u1,p1,up\n")
    load = stack.run("vote-load", "--file", str(path), "--url", "http://127.0.0.1:1", "--retry-for", "200ms")
    assert load.returncode == 69 and "unable to connect" in load.stderr


def votes_file(tmp_path, *users):
    path = tmp_path / "votes.csv"
    path.write_bytes(b"\xef\xbb\xbftimestamp,user_id,project_id,vote_type\r\n" + "".join(
        f"{n},{user},p1,up\r\n\r\n" for n, user in enumerate(users)).encode())
    return str(path)


def test_load_gives_up_after_one_vote_when_no_server_was_ever_there(stack, tmp_path):
    path = votes_file(tmp_path, *[f"u{n}" for n in range(200)])
    began = time.monotonic()
    load = stack.run("vote-load", "--file", path, "--url", "http://127.0.0.1:1", "--retry-for", "1s", "--connections", "1")
    assert load.returncode == 69 and time.monotonic() - began < 30


def test_load_sends_a_vote_that_waited_for_its_turn_at_the_end_of_a_paced_file(stack, tmp_path):
    stack.add_projects("p1")
    path = votes_file(tmp_path, "u1", "u2", "u3", "u4", "u1", "u6")
    stack.main_ingest.signal(signal.SIGSTOP)
    try:
        load = subprocess.Popen([BIN + "/vote-load", "--file", path, "--rate", "4/s", "--url", stack.url + "/"],
                                env=stack.env, stdout=subprocess.PIPE, text=True)
        time.sleep(1.1)  # the last vote has been sent, the next may not be for 0.15 s
    finally:
        stack.main_ingest.signal(signal.SIGCONT)
    assert "accepted          6\n" in load.communicate(timeout=60)[0]


def test_load_says_what_each_status_refused(stack, tmp_path):
    load = stack.run("vote-load", "--file", votes_file(tmp_path, "u1"), "--format", "json", env={**stack.env, "VOTE_JWT_SECRET": "x" * 32})
    assert load.returncode == 1 and json.loads(load.stdout)["refused_by_status"] == {"401": 1}


def test_ctrl_c_ends_the_wait_of_verify(stack, tmp_path):
    stack.add_projects("p1")
    stack.main_commit.signal(signal.SIGSTOP)
    try:
        load = subprocess.Popen([BIN + "/vote-load", "--file", votes_file(tmp_path, "u1"), "--verify"], env=stack.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1)  # the vote is accepted, its commit is waited for
        load.send_signal(signal.SIGINT)
        output = load.communicate(timeout=10)[0]
    finally:
        stack.main_commit.signal(signal.SIGCONT)
    assert load.returncode == 1 and "not committed in time" in output


def test_migrate_and_topics_twice_change_nothing(stack):
    assert "up to date" in stack.run("vote-admin", "migrate", check=True).stdout
    assert stack.run("vote-admin", "topics", check=True).stdout.count("has 6 partitions") == 3


def test_a_token_names_its_user_and_ends(stack):
    claims = jwt.decode(stack.token("u1", "--ttl", "2m", "--scope", "vote:admin"), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["scope"], claims["exp"] - claims["iat"]) == ("u1", "vote:admin", 120)


def test_a_bad_projects_file_imports_nothing_and_names_the_line(stack):
    text = "project_id,owner_id\ngood-but-not-alone,\nbad one,\n"
    imported = stack.run("vote-admin", "projects", "import", "-", input=text)
    assert imported.returncode == 65 and "line 3: project_id" in imported.stderr
    assert stack.sql("select 1 from vote.projects where project_id = 'good-but-not-alone'") == []


def test_audit_finds_a_total_changed_by_hand(stack, project, token):
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    stack.sql("update vote.projects set upvotes = 5 where project_id = %s", project)
    audit = stack.run("vote-admin", "audit")
    stack.sql("update vote.projects set upvotes = 1 where project_id = %s", project)
    assert audit.returncode == 1 and f"{project}: projects say 5 up 0 down, votes say 1 up 0 down" in audit.stdout


def test_audit_finds_a_row_that_the_log_does_not_explain(stack, project, token, user):
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    stack.sql("update vote.votes set value = -1 where user_id = %s", user)
    stack.sql("update vote.projects set upvotes = 0, downvotes = 1, community_score = "
              "vote.community_score(0, 1) where project_id = %s", project)
    audit = stack.run("vote-admin", "audit")
    stack.sql("update vote.votes set value = 1 where user_id = %s", user)
    stack.sql("update vote.projects set upvotes = 1, downvotes = 0, community_score = "
              "vote.community_score(1, 0) where project_id = %s", project)
    assert audit.returncode == 1 and f"{project}: the log's newest vote of one user is 1, its row is -1" in audit.stdout


def test_tail_prints_one_envelope_a_record(stack, project, token, user):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    tail = stack.run("vote-tail", "-t", "requests", "-o", "start", "--format", "json", "--request", request_id)
    envelope = json.loads(tail.stdout)
    assert set(envelope) == {"topic", "partition", "offset", "timestamp", "key", "headers", "value"}
    assert (envelope["key"], envelope["value"]["user_id"]) == (project, user)


def test_tail_reads_the_last_records_of_each_partition(stack, project, token):
    stack.vote(token, project, "up")
    lines = stack.run("vote-tail", "-t", "requests", "-o", "-1").stdout.splitlines()
    assert 1 <= len(lines) <= 6


def test_a_following_tail_shows_a_new_vote_and_ends_on_interrupt(stack, project, token):
    tail = subprocess.Popen([BIN + "/vote-tail", "-f", "-t", "requests", "--project", project], env=stack.env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.set_blocking(tail.stdout.fileno(), False)
    seen = []

    def shows():
        stack.vote(token, project, "up")
        seen.extend(tail.stdout.readlines())
        return any(project in line for line in seen)

    wait_until(shows, 20, "the vote in the tail")
    tail.send_signal(signal.SIGINT)
    assert tail.wait(10) == 0


def test_a_tail_joins_no_group(stack):
    stack.run("vote-tail", "-t", "results", check=True)
    groups = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]}).list_groups(timeout=10)
    assert "vote-tail" not in [group.id for group in groups]


def test_an_unknown_topic_is_named(stack):
    tail = stack.run("vote-tail", "-t", "nope")
    assert tail.returncode == 64 and "nope" in tail.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_help_fits_a_screen_and_an_unknown_flag_is_named(servers, tool):
    assert servers.run(tool, "--help").returncode == 0
    command = (tool, "migrate") if tool == "vote-admin" else (tool,)
    wrong = servers.run(*command, "--no-such-flag")
    assert wrong.returncode == 64 and wrong.stderr.startswith(tool + ": fatal:") and "--no-such-flag" in wrong.stderr


@pytest.mark.parametrize("tool", ("vote-ingest", "vote-commit", "vote-invalidate", "vote-tail", "vote-load"))
def test_the_man_page_and_the_help_name_the_same_flags(servers, tool):
    flags = set(re.findall(r"--[a-z][a-z-]+", servers.run(tool, "--help").stdout.split("Other:")[0]))
    page = os.path.join(os.path.dirname(BIN), "man", tool + ".1")
    manual = set(re.findall(r"--[a-z][a-z-]+", open(page).read().replace("\\-", "-")))
    assert flags and {f for f in flags if f not in manual} == set()


@pytest.mark.parametrize("tool, flag", (("vote-ingest", "listen"), ("vote-ingest", "admin-listen"), ("vote-commit", "admin-listen"),
                                        ("vote-invalidate", "admin-listen"), ("vote-notify", "listen"), ("vote-notify", "admin-listen")))
@pytest.mark.parametrize("value", ("here", "host.example:80", "127.0.0.1:70000", ""))
def test_an_address_that_is_none_is_named_with_its_flag(servers, tool, flag, value):
    by_flag = servers.run(tool, f"--{flag}", value)
    assert by_flag.returncode == 64 and f'--{flag}: "{value}" is no HOST:PORT' in by_flag.stderr
    variable = "VOTE_" + flag.upper().replace("-", "_")
    by_variable = servers.run(tool, env=dict(servers.env, **{variable: value or "x"}))
    assert by_variable.returncode == 78 and variable + ": " in by_variable.stderr


def test_a_log_in_JSON_ends_in_JSON(stack):
    taken = stack.run("vote-ingest", "--listen", f"127.0.0.1:{stack.ports['api']}", "--log-format", "json")
    last = json.loads(taken.stderr.splitlines()[-1])
    assert taken.returncode == 69 and last["level"] == "error" and "unable to listen" in last["error"], taken.stderr


def test_a_bad_value_is_named_with_its_source(servers):
    wrong = servers.run("vote-ingest", env=dict(servers.env, VOTE_REDIS_TIMEOUT="50"))
    assert wrong.returncode == 78 and "VOTE_REDIS_TIMEOUT" in wrong.stderr and "50ms" not in wrong.stdout


def test_print_config_never_shows_the_secret(servers):
    shown = servers.run("vote-ingest", "--print-config").stdout
    assert "jwt-secret=***" in shown and SECRET not in shown


def test_a_secret_is_not_taken_from_the_command_line(servers):
    assert servers.run("vote-ingest", "--jwt-secret", "x").returncode == 64


def test_unreachable_servers_are_named(servers):
    env = dict(servers.env, VOTE_DATABASE_URL="postgresql://votepipe@127.0.0.1:1/votepipe")
    admin = servers.run("vote-admin", "migrate", env=env)
    assert admin.returncode == 69 and "unable to connect to postgres" in admin.stderr


def test_a_daemon_stops_cleanly_on_sigterm(stack):
    assert stack.main_ingest.stop() == 0
    assert stack.main_commit.stop() == 0


def test_a_second_sigterm_is_not_needed_to_restart(stack, project, token):
    assert stack.vote(token, project, "up").status_code == 202


def test_metrics_carry_no_ids(stack, project, token):
    stack.vote(token, project, "up")
    text = stack.main_ingest.metrics() + stack.main_commit.metrics()
    assert "vote_accepted_total" in text and project not in text
