# balancer.py - what a Service does: each new connection goes to an instance that is ready. SPDX-License-Identifier: Apache-2.0
#
# HAProxy passes bytes on and tries nothing twice: whatever an instance does wrong reaches the client. Connections that
# stand are left alone when their instance is not ready any more.
import csv
import os
import shutil
import socket
import subprocess

from stack import die_with_parent, free_port, wait_until

PROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
SETTINGS = """
global
    stats socket {directory}/haproxy.sock
defaults
    mode tcp
    retries 0
    timeout connect 10s
    timeout client 120s
    timeout server 120s
    timeout check 5s
    default-server check inter 300ms fall 2 rise 1
"""
SERVICE = """
listen {name}
    bind 127.0.0.1:{port}
    balance roundrobin
    option httpchk GET /readyz
"""


class Balancer:
    """`services`: by name, the instances as (port, admin port); `urls` has where each service listens."""

    def __init__(self, directory, services):
        self.path = directory + "/haproxy.sock"
        ports = {name: free_port() for name in services}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        settings = directory + "/haproxy.cfg"
        with open(settings, "w") as file:
            file.write(SETTINGS.format(directory=directory))
            for name, instances in services.items():
                file.write(SERVICE.format(name=name, port=ports[name]))
                file.writelines(f"    server {admin} 127.0.0.1:{port} port {admin}\n" for port, admin in instances)
        self.process = subprocess.Popen([PROXY, "-db", "-q", "-f", settings], preexec_fn=die_with_parent)
        wait_until(lambda: os.path.exists(self.path), 20, "haproxy")

    def has(self, admin_port):
        """Whether new connections may go to the instance with that admin port; None for one it does not know."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            connection.sendall(b"show stat\n")
            text = connection.makefile().read()
        states = {row["svname"]: row["status"] for row in csv.DictReader(text.lstrip("# ").splitlines())}
        state = states.get(str(admin_port))
        return state and state.startswith("UP")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
