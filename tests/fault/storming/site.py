# site.py - the whole stack, two of each daemon, three brokers, and a proxy on every link between them.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import subprocess
import sys
import threading

from kafka_cluster import NODES, ClusterStack, KafkaCluster
from stack import die_with_parent, free_port, wait_until
from storming.plan import BROKERS, LINKS, TOOLS

# A user who is refused votes up like anybody; Postgres does not take their downvotes.
REFUSED_USER = "refused"
REFUSE_SQL = ("create function vote.storm_refuse() returns trigger language plpgsql as $$ begin "
              f"if new.user_id like '%%{REFUSED_USER}%%' and new.value = -1 then "
              "raise exception using message = 'user ' || new.user_id || ' votes ' || new.value; end if; return new; end $$; "
              "create trigger storm_refuse before insert or update on vote.votes for each row execute function vote.storm_refuse()")
GRACE_SECONDS = 20
FLAGS = {
    "vote-ingest": ("--rate-limit", "0", "--redis-timeout", "500ms"),
    "vote-commit": ("-X", "session.timeout.ms=4000", "-X", "heartbeat.interval.ms=500", "--retry-delays", "500ms,1s,2s",
                    "--database-timeout", "4s", "--optimism-grace", f"{GRACE_SECONDS}s"),
    "vote-notify": ("--ping-interval", "3s", "--ping-timeout", "4s", "--drain-timeout", "1s"),
    "vote-invalidate": ("-X", "session.timeout.ms=4000", "-X", "heartbeat.interval.ms=500"),
}
LISTENS = ("vote-ingest", "vote-notify")


def listener_name(client):
    return client.replace("vote-", "").replace("-", "").upper()


class Proxy:
    """The process that all links go through."""

    def __init__(self, directory):
        self.ports = {link: free_port() for link in LINKS}
        self.targets, self.directory, self.lock, self.process = {}, directory, threading.Lock(), None

    def start(self):
        path = os.path.join(self.directory, "links.json")
        with open(path, "w") as file:
            json.dump({link: (port, self.targets[link]) for link, port in self.ports.items()}, file)
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")
        with open(os.path.join(self.directory, "proxy.log"), "ab") as log:
            self.process = subprocess.Popen([sys.executable, program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True, preexec_fn=die_with_parent)
        assert self.process.stdout.readline() == "ready\n"

    def order(self, link, mode, amount=0):
        with self.lock:
            self.process.stdin.write(json.dumps({"link": link, "mode": mode, "amount": amount}) + "\n")
            self.process.stdin.flush()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class StormKafka(KafkaCluster):
    """Each client has a listener of its own at each broker, advertised as the link to it."""

    def __init__(self, directory, proxy):
        super().__init__(directory)
        self.proxy = proxy
        self.listeners = {}
        for client in (*TOOLS, "kafka"):
            for node in NODES:
                self.listeners[client, node] = proxy.targets[f"{client}>kafka-{node}"] = free_port()

    def brokers_of(self, client):
        return ",".join(f"127.0.0.1:{self.proxy.ports[f'{client}>kafka-{node}']}" for node in NODES)

    def properties(self, node):
        port, controller = self.ports[node]
        own = {listener_name(client): (self.listeners[client, node], self.proxy.ports[f"{client}>kafka-{node}"])
               for client in (*TOOLS, "kafka")}
        own |= {"PLAINTEXT": (port, port), "CONTROLLER": (controller, controller)}
        return super().properties(node) + "\n" + "\n".join((
            "listeners=" + ",".join(f"{name}://127.0.0.1:{here}" for name, (here, _) in own.items()),
            "advertised.listeners=" + ",".join(f"{name}://127.0.0.1:{there}" for name, (_, there) in own.items()),
            "listener.security.protocol.map=" + ",".join(f"{name}:PLAINTEXT" for name in own),
            # So that the checker knows what a log had at any time, whatever a producer's clock said.
            "log.message.timestamp.type=LogAppendTime",
            "inter.broker.listener.name=KAFKA", "num.network.threads=1"))


class StormStack(ClusterStack):
    """The checker, the load's projects and vote-admin go to the servers directly; everybody else by links."""

    def __init__(self, directory):
        super().__init__(directory)
        self.proxy = Proxy(self.directory)
        self.kafka = StormKafka(self.directory, self.proxy)
        self.env["VOTE_KAFKA_BROKERS"] = self.kafka.brokers
        # One broker at a time, also when a slow machine takes longer for it than the plan has it.
        brokers = threading.Lock()
        self.daemons = {}
        self.locks = {name: threading.Lock() for name in (*TOOLS, "redis", "postgres")} | dict.fromkeys(BROKERS, brokers)
        for link in LINKS:
            client, server = link.split(">")
            if server in ("redis", "postgres"):
                self.proxy.targets[link] = self.ports[server]
            elif client == "clients":
                self.proxy.targets[link] = free_port()

    def start_servers(self):
        self.proxy.start()
        super().start_servers()
        self.sql(REFUSE_SQL)

    def start_daemons(self):
        for name in TOOLS:
            self.daemons[name] = self.make_daemon(name)
        for daemon in self.daemons.values():
            daemon.start(ready=False)
        for name, daemon in self.daemons.items():
            wait_until(daemon.is_ready, 90, name + " ready")

    def make_daemon(self, name):
        tool, ports = name.rsplit("-", 1)[0], self.proxy.ports
        flags = list(FLAGS[tool])
        flags += ["--kafka-brokers", self.kafka.brokers_of(name),
                  "--database-url", f"postgresql://votepipe@127.0.0.1:{ports[name + '>postgres']}/votepipe"]
        if name + ">redis" in ports:
            flags += ["--redis-url", f"redis://127.0.0.1:{ports[name + '>redis']}"]
        if tool in LISTENS:
            flags += ["--listen", f"127.0.0.1:{self.proxy.targets['clients>' + name]}"]
        daemon = self.tool(tool, *flags)
        daemon.log = os.path.join(self.directory, name + ".log")
        return daemon

    def urls(self, tool):
        """Where clients find the instances of that tool: by their links."""
        return [f"http://127.0.0.1:{self.proxy.ports[f'clients>{tool}-{number}']}" for number in (1, 2)]

    def stop(self):
        with contextlib.ExitStack() as ends:
            ends.callback(self.proxy.stop)
            ends.callback(super().stop)
