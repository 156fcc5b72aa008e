# test_stack.py - make up, status and down, and what they say when they cannot. SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import socket
import subprocess

import pytest
import requests

from stack import ROOT, SCRIPTS, free_port, lease_port, reachable_directory, wait_until


def free_base():
    """The first of ten ports in a row that nobody has, above those that are given singly and the bus of a Redis cluster."""
    for base in range(31000, 32760, 10):
        if all(lease_port(base + number) for number in range(10)):
            return base
    raise AssertionError("no ten free ports in a row")


def script(name, run, base, check=False, **env):
    return subprocess.run([os.path.join(SCRIPTS, name)], capture_output=True, text=True, timeout=200, check=check,
                          env=dict(os.environ, RUN=str(run), PORT_BASE=str(base), **env))


@pytest.fixture(scope="module")
def up():
    with reachable_directory("votepipe-up-") as directory:
        run, base = pathlib.Path(directory), free_base()
        first = script("up.sh", run, base)
        yield run, base, first
        script("down.sh", run, base)


@pytest.fixture
def reachable():
    """A folder that another user can enter, as a checkout's usually is."""
    with reachable_directory("votepipe-reachable-") as directory:
        yield pathlib.Path(directory)


def test_up_ends_with_a_stack_that_takes_votes(up):
    run, base, first = up
    assert first.returncode == 0, first.stdout + first.stderr
    vote = subprocess.run(["bash", "-c", f". {run}/env && curl -s -H \"Authorization: Bearer $(vote-admin token "
                           "--user u1)\" -H 'Content-Type: application/json' -d '{\"project_id\":\"p1\","
                           "\"vote_type\":\"up\"}' $VOTE_URL/api/votes"], capture_output=True, text=True, timeout=30)
    assert '"message":"Vote recorded"' in vote.stdout


def test_up_again_does_nothing_that_is_done(up):
    again = script("up.sh", *up[:2])
    assert again.returncode == 0 and again.stdout.count("already running") == 7


def test_status_shows_each_process(up):
    status = script("status.sh", *up[:2])
    assert status.returncode == 0 and status.stdout.count("ready yes") == 7


def test_a_killed_server_is_down_in_status_and_up_brings_it_back(up):
    run, base, _ = up
    pid = int((run / "redis" / "pid").read_text().split()[0])
    os.kill(pid, 9)
    assert script("status.sh", run, base).returncode == 1
    assert script("up.sh", run, base).returncode == 0
    # The tools look at their servers about once a second.
    wait_until(lambda: script("status.sh", run, base).returncode == 0, 20, "status")


def test_watch_scrapes_every_stage_and_knows_the_rules(up):
    run, base, _ = up
    watch = script("watch.sh", run, base)
    assert watch.returncode == 0 and f"http://127.0.0.1:{base + 10}/alerts" in watch.stdout, watch.stdout + watch.stderr
    api = f"http://127.0.0.1:{base + 10}/api/v1/"
    wait_until(lambda: len(requests.get(api + "query", params={"query": "up == 1"}, timeout=10).json()["data"]["result"]) == 4, 60, "targets")
    groups = requests.get(api + "rules", timeout=10).json()["data"]["groups"]
    assert "VoteQueueDeep" in {rule["name"] for group in groups for rule in group["rules"]}
    assert "already running" in script("watch.sh", run, base).stdout


def test_a_stack_keeps_the_ports_it_was_made_with(up):
    other = script("up.sh", up[0], up[1] + 1000)
    assert other.returncode != 0 and "was made with PORT_BASE" in other.stderr


def test_the_secrets_of_a_stack_are_its_owners_alone(up):
    assert os.stat(up[0] / "env").st_mode & 0o077 == 0


def test_a_taken_port_is_named_with_who_has_it(reachable):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        start = subprocess.run([SCRIPTS + "/redis.sh", "start", str(reachable), str(port)], capture_output=True, text=True)
    assert start.returncode == 1 and f"redis: port {port} is taken by pid {os.getpid()}" in start.stderr


def test_who_takes_the_port_while_kafka_starts_is_not_taken_for_it(reachable):
    directory, port, controller = reachable / "kafka", free_port(), free_port()
    start = subprocess.Popen([SCRIPTS + "/kafka.sh", "start", str(directory), str(port), str(controller)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until((directory / "server.properties").exists, 30, "the ports are found free")
    with socket.create_server(("127.0.0.1", port)):
        output, errors = start.communicate(timeout=120)
    assert start.returncode == 1 and "kafka: not ready" in errors and "ready on" not in output


def test_postgres_takes_settings_and_keeps_ours(reachable):
    directory, port = str(reachable / "postgres"), free_port()
    settings = {**os.environ, "POSTGRES_SETTINGS": "shared_buffers=64MB max_wal_size=2GB"}
    try:
        subprocess.run([SCRIPTS + "/postgres.sh", "start", directory, str(port)], check=True, timeout=60, env=settings)
        shown = subprocess.run(["psql", f"postgresql://votepipe@127.0.0.1:{port}/votepipe", "-Atc", "show shared_buffers", "-c",
                                "show max_wal_size", "-c", "show max_connections"], capture_output=True, text=True, check=True)
        assert shown.stdout.split() == ["64MB", "2GB", "200"]
    finally:
        subprocess.run([SCRIPTS + "/postgres.sh", "stop", directory], check=True, timeout=60)


def test_two_test_runs_are_never_given_the_same_port():
    port = free_port()
    other = subprocess.run(["/usr/bin/python3", "-c", f"from stack import lease_port; print(lease_port({port}), lease_port({port}))"],
                           capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(__file__)), check=True)
    assert other.stdout == "False False\n"


def only(directory, *names):
    """A PATH with these programs and no others."""
    for name in names:
        os.symlink(shutil.which(name), directory / name)
    return str(directory)


def test_without_java_it_says_so(tmp_path):
    path = only(tmp_path, "bash", "dirname", "mkdir", "env")
    start = subprocess.run([SCRIPTS + "/kafka.sh", "start", str(tmp_path / "kafka"), "1"], capture_output=True,
                           text=True, env={"PATH": path})
    assert start.returncode == 1 and "no Java is installed" in start.stderr


def test_without_node_the_page_is_left_out_and_the_build_goes_on(tmp_path):
    path = only(tmp_path, "bash", "dirname", "env")
    build = subprocess.run([os.path.join(ROOT, "lib", "web", "build.sh")], capture_output=True, text=True, env={"PATH": path})
    assert build.returncode == 0 and build.stderr == "  web  the page is left out: node is not installed\n" and build.stdout == ""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become nobody")
def test_without_root_and_sudo_it_names_what_is_missing(reachable):
    path = only(reachable, "bash", "dirname", "grep", "id", "apt-get", "env")
    (reachable / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")  # a machine that has nothing
    os.chmod(reachable / "dpkg-query", 0o755)
    tree = shutil.copytree(SCRIPTS, reachable / "local")
    deps = subprocess.run(["setpriv", "--reuid", "nobody", "--clear-groups", "--", "env", "PATH=" + path,
                           str(tree) + "/deps.sh", "run"], capture_output=True, text=True)
    assert deps.returncode == 69 and "missing postgresql redis-server" in deps.stderr and "install sudo" in deps.stderr


