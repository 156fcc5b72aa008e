# stack.py - a private Postgres, Redis, Kafka and the tools over them, all ended with the test run.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import jwt
import psycopg2
import redis
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, os.environ.get("VOTE_BIN", "build/bin"))
SCRIPTS = os.path.join(ROOT, "pipelines", "local")
SECRET = "a secret that is only for tests, 32+"
# A test may want a killed member soon forgotten; and a broker that lives for minutes is not worth the second compiler.
KAFKA_ENV = {"KAFKA_PROPERTIES": "group.min.session.timeout.ms=1000", "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"}


leases = []  # kept until this process ends, and gone with it


def lease_port(port):
    """Whether the port is this process's now: nobody listens there, and no other test run was given it. A server takes
    seconds from when its port is chosen to when it listens; until then an abstract socket of that name holds the place."""
    lease = socket.socket(socket.AF_UNIX)
    with socket.socket() as s:
        try:
            lease.bind(f"\0votepipe-test-port-{port}")
            s.bind(("127.0.0.1", port))
        except OSError:
            lease.close()
            return False
    leases.append(lease)
    return True


def free_port():
    """A port that nobody has, below those that the system lends to outgoing connections: it stays free."""
    while True:
        port = random.randrange(11000, 21000)
        if lease_port(port):
            return port


def wait_until(condition, seconds=20, what="condition"):
    """The first true value of condition(), or AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def anonymous_kib(pid):
    """What the process has by itself: no files, and pages that are shared count in part."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon:"))


class Tool:
    """A daemon of ours: start, wait for readiness, kill, stop."""

    def __init__(self, stack, name, *arguments):
        self.stack, self.name, self.arguments = stack, name, arguments
        self.admin_port = free_port()
        self.log = os.path.join(stack.directory, f"{name}-{self.admin_port}.log")
        self.process = None

    def start(self, ready=True, env=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(BIN, self.name), "--admin-listen", f"127.0.0.1:{self.admin_port}", *self.arguments],
                env={**self.stack.env, **(env or {})}, stderr=log, stdout=log, preexec_fn=die_with_parent)
        if ready:
            wait_until(self.is_ready, 40, self.name + " ready")
        return self

    def is_ready(self):
        assert self.process.poll() is None, open(self.log).read()[-2000:]
        try:
            return requests.get(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def metrics(self):
        return requests.get(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5).text

    def metric(self, name):
        """One figure: of several with labels the first, unless the name has them."""
        return next(float(line.split()[-1]) for line in self.metrics().splitlines() if line.startswith((name + " ", name + "{")))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(25)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


class Stack:
    kafka_env = KAFKA_ENV

    def __init__(self, directory):
        self.directory = str(directory)
        self.ports = {name: free_port() for name in ("postgres", "redis", "kafka", "controller", "api")}
        self.tools = []
        self.env = dict(
            os.environ,
            VOTE_KAFKA_BROKERS=f"127.0.0.1:{self.ports['kafka']}",
            VOTE_REDIS_URL=f"redis://127.0.0.1:{self.ports['redis']}",
            VOTE_DATABASE_URL=f"postgresql://votepipe@127.0.0.1:{self.ports['postgres']}/votepipe",
            VOTE_URL=f"http://127.0.0.1:{self.ports['api']}",
            VOTE_JWT_SECRET=SECRET)
        self.url = self.env["VOTE_URL"]

    def server(self, verb, name):
        arguments = [os.path.join(SCRIPTS, name + ".sh"), verb, os.path.join(self.directory, name)]
        if verb == "start":
            arguments.append(str(self.ports[name]))
        if verb == "start" and name == "kafka":
            arguments.append(str(self.ports["controller"]))
        subprocess.run(arguments, check=True, timeout=300, env={**os.environ, **self.kafka_env})

    def start_servers(self):
        for name in ("postgres", "redis", "kafka"):
            self.server("start", name)
        self.run("vote-admin", "migrate", check=True)
        self.run("vote-admin", "topics", check=True)

    def stop(self):
        for tool in self.tools:
            tool.stop()
        for name in ("kafka", "redis", "postgres"):
            self.server("stop", name)

    def tool(self, name, *arguments):
        tool = Tool(self, name, *arguments)
        self.tools.append(tool)
        return tool

    def ingest(self, port=None, *arguments):
        """A Redis that is late on a busy machine is no outage; a test of one asks for less."""
        return self.tool("vote-ingest", "--listen", f"127.0.0.1:{port or self.ports['api']}", "--rate-limit", "0",
                         "--redis-timeout", "2s", *arguments)

    def commit(self, *arguments):
        return self.tool("vote-commit", *arguments)

    def script(self, name, *arguments, env=None):
        """A script of the local stack that is none of its three servers'."""
        subprocess.run([os.path.join(SCRIPTS, name + ".sh"), *arguments], check=True, timeout=300, env={**os.environ, **(env or {})})

    def signal_server(self, name, signal_name):
        pid = int(open(os.path.join(self.directory, name, "pid")).read().split()[0])
        os.kill(pid, getattr(signal, "SIG" + signal_name))

    def run(self, name, *arguments, **options):
        options.setdefault("timeout", 300)
        return subprocess.run([os.path.join(BIN, name), *arguments], env=options.pop("env", self.env),
                              capture_output=True, text=True, **options)

    def connect(self):
        return psycopg2.connect(self.env["VOTE_DATABASE_URL"])

    def ledger_rows(self):
        return self.sql("select count(*) from vote.log")[0][0]

    def sql(self, text, *values):
        connection = self.connect()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(text, values)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def redis(self):
        return redis.Redis(port=self.ports["redis"], decode_responses=True)

    def token(self, user, *arguments):
        return self.run("vote-admin", "token", "--user", user, *arguments, check=True).stdout.strip()

    def user_of(self, token):
        return jwt.decode(token, SECRET, algorithms=["HS256"])["sub"]

    def add_projects(self, *projects):
        text = "project_id,owner_id\n" + "".join(f"{p},\n" for p in projects)
        self.run("vote-admin", "projects", "import", "-", input=text, check=True)

    def vote(self, user_token, project, vote_type, url=None, **body):
        return requests.post((url or self.url) + "/api/votes", timeout=30,
                             json={"project_id": project, "vote_type": vote_type, **body},
                             headers={"Authorization": "Bearer " + user_token})

    def get(self, token, path):
        return requests.get(self.url + path, headers={"Authorization": "Bearer " + token}, timeout=30)

    def status(self, token, request_id):
        answer = self.get(token, "/api/votes/status/" + request_id)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def wait_committed(self, token, request_id):
        def settled():
            answer = self.get(token, "/api/votes/status/" + request_id)
            return answer.status_code == 200 and answer.json()["data"]["state"] != "pending"
        wait_until(settled, 30, "commit")
        return self.status(token, request_id)

    def counts(self, project):
        return self.sql("select upvotes, downvotes from vote.projects where project_id = %s", project)[0]

    def shown(self, project):
        """What Redis has: upvotes, downvotes, how many votes are on their way; {} when it has nothing."""
        state = self.redis().hgetall("vote:state:{%s}" % project)
        return state and (int(state["upvotes"]), int(state["downvotes"]), int(state["pending"]))

    def assert_totals_equal_rows(self):
        wrong = self.sql(
            "select p.project_id from vote.projects p left join (select project_id, count(*) filter (where value = 1) up, "
            "count(*) filter (where value = -1) down from vote.votes group by 1) v using (project_id) "
            "where (p.upvotes, p.downvotes) is distinct from (coalesce(v.up, 0), coalesce(v.down, 0))")
        assert wrong == []


class DeployedStack(Stack):
    """With its broker as `make up` starts it: for what is measured, and lives for long enough."""
    kafka_env = {}


@contextlib.contextmanager
def reachable_directory(prefix):
    """A directory that the servers' own users reach, and that goes at the end. None of pytest's: each run of it closes
    those of the runs beside it to others."""
    directory = tempfile.mkdtemp(prefix=prefix)
    os.chmod(directory, 0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def started_servers(kind, prefix):
    """A stack of that class with its servers started, in a directory that goes with it."""
    with reachable_directory(prefix) as directory:
        stack = kind(directory)
        try:
            stack.start_servers()
            yield stack
        finally:
            stack.stop()
