# test_secrets.py - secrets are not in logs, `ps`, metrics, help or messages, whatever goes wrong.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import signal
import subprocess
import uuid

import pytest
import requests
from secured import JWT_SECRET, PASSWORDS, leaks
from stack import BIN, SECRET, die_with_parent, free_port, wait_until

DAEMONS = ["vote-ingest", "vote-commit", "vote-invalidate", "vote-notify"]
TOOLS = [*DAEMONS, "vote-tail", "vote-replay", "vote-load"]
MARK = "hunter2"  # a part of every secret here


def by_flags(secured, name):
    """The secrets of a daemon as flags, those that may be."""
    flags = ["-X", "sasl.password=" + PASSWORDS["kafka"], "--database-url", secured.database_url()]
    for line in secured.kafka_properties().split():
        flags += [] if "password" in line else ["-X", line]
    return flags + ([] if name == "vote-notify" else ["--redis-url=" + secured.redis_url()])


def start_by_flags(secured, name):
    listen = ["--listen", f"127.0.0.1:{free_port()}"] if name in ("vote-ingest", "vote-notify") else []
    group = ["--group", "s-" + uuid.uuid4().hex[:8]] if name in ("vote-commit", "vote-invalidate") else []
    tool = secured.tool(name, "--log-level", "debug", *listen, *group, *by_flags(secured, name))
    plain = {variable: "" for variable in ("VOTE_KAFKA_PROPERTY_FILE", "VOTE_DATABASE_URL_FILE", "VOTE_REDIS_URL_FILE")}
    return tool.start(env={**plain, "VOTE_JWT_SECRET": JWT_SECRET, "VOTE_JWT_SECRET_FILE": ""})


def seen_of(tool):
    """All that a user of the machine or of the admin port can read of a process."""
    command_line = open(f"/proc/{tool.process.pid}/cmdline").read()
    url = f"http://127.0.0.1:{tool.admin_port}"
    pages = [requests.get(url + path, timeout=10).text for path in ("/metrics", "/readyz", "/healthz", "/")]
    return "\n".join([command_line, open(tool.log).read(), *pages])


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_with_secrets_on_its_command_line_shows_none(secured, name):
    tool = start_by_flags(secured, name)
    try:
        seen = seen_of(tool)
        assert "sasl.username=app" in seen  # the rest of the command line is as it was
        assert MARK not in seen and leaks(seen) == []
    finally:
        tool.stop()
    assert MARK not in open(tool.log).read()


def test_a_token_is_in_no_log_and_a_vote_only_at_debug_level(secured):
    project, user = "p-" + uuid.uuid4().hex[:12], "u-" + uuid.uuid4().hex[:12]
    secured.add_projects(project)
    tool = secured.tool("vote-ingest", "--listen", f"127.0.0.1:{free_port()}", "--log-level", "info").start()
    token = secured.token(user)
    url = "http://" + tool.arguments[1]
    for bearer in (token, token[:-4] + "AAAA"):
        secured.vote(bearer, project, "up", url)
        secured.vote(bearer, project, "sideways", url)
    tool.stop()
    log = open(tool.log).read()
    assert token.rsplit(".", 1)[1] not in log and token.split(".")[1] not in log
    assert user not in log and project not in log


def wrong_secrets(secured):
    """Settings that go wrong, each by a secret that must not be repeated."""
    free, redis_port, pg_port = free_port(), secured.tunnels[0].port, secured.ports["postgres"]
    return {
        "VOTE_DATABASE_URL": [
            f"postgresql://votepipe:wrong-{MARK}@127.0.0.1:{pg_port}/votepipe?sslmode=require",
            f"postgresql://votepipe:away-{MARK}@127.0.0.1:{free}/votepipe",
            f"postgresql://votepipe:name-{MARK}@no-such-host.invalid/votepipe",
            f"postgresql://votepipe:at@{MARK}@127.0.0.1:{pg_port}/votepipe",
            f"postgresql://votepipe:slash/{MARK}@127.0.0.1:{pg_port}/votepipe",
            f"postgresql://votepipe:percent%zz-{MARK}@127.0.0.1:{pg_port}/votepipe",
            f"postgresql://votepipe@127.0.0.1:{pg_port}/votepipe?password={MARK}&sslmode=nonsense",
            f"host=127.0.0.1 port={pg_port} user=votepipe password=blank {MARK}",
        ],
        "VOTE_REDIS_URL": [
            f"redis://app:wrong-{MARK}@127.0.0.1:{redis_port}",
            f"redis://:old-style-{MARK}@127.0.0.1:{redis_port}",
            f"redis://app:away-{MARK}@127.0.0.1:{free}",
            f"redis://app:percent%zz-{MARK}@127.0.0.1:{redis_port}",
            f"redis://app:port-{MARK}@127.0.0.1:port",
            f"rediss://app:tls-{MARK}@127.0.0.1:{redis_port}",
            f"redis//app:scheme-{MARK}@127.0.0.1",
        ],
        "VOTE_KAFKA_PROPERTY": [
            secured.kafka_properties(password="wrong-" + MARK).replace("\n", ";"),
            f"sasl.password=first-{MARK};{MARK}",
            f"ssl.key.pem={MARK}",
            f"security.protocol=SASL_SSL;sasl.mechanism=PLAIN;sasl.username=app;sasl.password={MARK};ssl.ca.location=/no/such/file",
            f"security.protocol=NONSENSE;sasl.password={MARK}",
        ],
        "VOTE_JWT_SECRET_FILE": ["/no/such/file"],
    }


def run_for_a_while(secured, command, env):
    """What it says until it ends, or has tried for some seconds."""
    process = subprocess.Popen(command, env={**secured.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=die_with_parent)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=6 if os.path.basename(command[0]) in DAEMONS else 60)[0]
    process.terminate()
    try:
        return process.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


COMMANDS = {
    "VOTE_DATABASE_URL": [["vote-admin", "migrate"], ["vote-commit"]],
    "VOTE_REDIS_URL": [["vote-admin", "check"], ["vote-invalidate"]],
    "VOTE_KAFKA_PROPERTY": [["vote-tail", "-o", "end"], ["vote-commit"]],
    "VOTE_JWT_SECRET_FILE": [["vote-ingest"], ["vote-admin", "token", "--user", "u1"]],
}


@pytest.mark.parametrize("variable", COMMANDS)
def test_what_goes_wrong_is_said_without_the_secret(secured, variable):
    for value in wrong_secrets(secured)[variable]:
        for command in COMMANDS[variable]:
            ports = ["--admin-listen", f"127.0.0.1:{free_port()}"] if command[0] in DAEMONS else []
            env = {variable: value} if variable.endswith("_FILE") else {variable: value, variable + "_FILE": ""}
            said = run_for_a_while(secured, [os.path.join(BIN, command[0]), *command[1:], *ports], env)
            assert said or command[0] in DAEMONS, (command, value)
            assert MARK not in said, (command, said)


@contextlib.contextmanager
def redis_without(secured, command):
    """A Redis that does not know the command, and so repeats what it was called with; its port."""
    port = free_port()
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", secured.directory,
                               "--rename-command", command, ""], stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
    try:
        wait_until(lambda: subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).stdout == b"PONG\n", 20, "redis")
        yield port
    finally:
        server.terminate()
        server.wait()


def test_a_redis_that_repeats_what_it_does_not_know_gets_no_users_vote_logged(secured):
    project, user = "p-" + uuid.uuid4().hex[:12], "u-" + uuid.uuid4().hex[:12]
    secured.add_projects(project)
    with redis_without(secured, "SADD") as port:
        tool = secured.tool("vote-ingest", "--listen", f"127.0.0.1:{free_port()}", "--redis-url", f"redis://127.0.0.1:{port}")
        tool.start(env={"VOTE_REDIS_URL_FILE": ""})
        assert secured.vote(secured.token(user), project, "up", "http://" + tool.arguments[1]).status_code == 202
        tool.stop()
    log = open(tool.log).read()
    assert "unknown command 'SADD'" in log
    assert user not in log and project not in log


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("question", ["--help", "--help=all", "--print-config", "--print-man", "--print-completion", "--version"])
def test_what_a_tool_tells_of_itself_has_no_secret(secured, name, question):
    env = {**secured.env, "VOTE_JWT_SECRET": JWT_SECRET, "VOTE_KAFKA_PROPERTY": "sasl.password=" + PASSWORDS["kafka"],
           "VOTE_DATABASE_URL": secured.database_url(), "VOTE_REDIS_URL": secured.redis_url(), "VOTE_HTTP_URL": f"http://u:{MARK}@h"}
    result = secured.run(name, question, env=env)
    assert MARK not in result.stdout + result.stderr and leaks(result.stdout) == []


def test_a_secret_as_a_flag_is_refused_and_not_repeated(secured):
    for flags in (["--jwt-secret", SECRET], ["--jwt-secret=" + SECRET]):
        result = secured.run("vote-ingest", *flags)
        assert result.returncode == 64 and "--jwt-secret-file" in result.stderr
        assert SECRET not in result.stderr


def test_a_url_that_lost_its_flag_is_not_repeated(secured):
    result = secured.run("vote-commit", secured.database_url())
    assert result.returncode == 64 and MARK not in result.stderr


def test_a_crash_says_nothing_secret(secured):
    tool = start_by_flags(secured, "vote-notify")
    subprocess.run(["prlimit", "--pid", str(tool.process.pid), "--core=0"], check=True)
    tool.signal(signal.SIGSEGV)
    assert tool.process.wait(20) != 0
    assert MARK not in open(tool.log).read()
