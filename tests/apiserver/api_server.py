# api_server.py - a Kubernetes API server over an etcd of its own: all of admission and validation, and no nodes.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess

from manifests import tool
from stack import die_with_parent, free_port, wait_until

TOKEN = "a-token-only-for-tests"


class ApiServer:
    """etcd and kube-apiserver below one directory, and kubectl that talks to them."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.binaries = tool("apiserver")
        self.url = f"https://127.0.0.1:{free_port()}"
        self.etcd_url = f"http://127.0.0.1:{free_port()}"
        self.processes = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def launch(self, name, *command):
        with open(self.path(name + ".log"), "ab") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent))

    def start(self):
        peer = f"http://127.0.0.1:{free_port()}"
        self.launch("etcd", "etcd", "--data-dir", self.path("etcd"), "--listen-client-urls", self.etcd_url,
                    "--advertise-client-urls", self.etcd_url, "--listen-peer-urls", peer,
                    "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--unsafe-no-fsync")
        with open(self.path("tokens.csv"), "w") as tokens:
            tokens.write(f"{TOKEN},admin,admin,system:masters\n")
        subprocess.run(["openssl", "genrsa", "-out", self.path("sa.key"), "2048"], check=True, capture_output=True)
        self.launch("kube-apiserver", os.path.join(self.binaries, "kube-apiserver"), "--etcd-servers", self.etcd_url,
                    "--bind-address", "127.0.0.1", "--secure-port", self.url.rpartition(":")[2], "--cert-dir", self.path("certs"),
                    "--token-auth-file", self.path("tokens.csv"), "--authorization-mode", "RBAC",
                    "--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.0.0.0/24",
                    "--service-account-key-file", self.path("sa.key"), "--service-account-signing-key-file", self.path("sa.key"))
        wait_until(self.is_ready, 180, "the API server")
        return self

    def is_ready(self):
        for process in self.processes:
            assert process.poll() is None, f"{process.args[0]} ended: see {self.directory}"
        return os.path.exists(self.path("certs/apiserver.crt")) and self.kubectl("get", "--raw", "/readyz").returncode == 0

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(60)

    def kubectl(self, *arguments, text=None):
        return subprocess.run(
            [os.path.join(self.binaries, "kubectl"), "--server", self.url, "--certificate-authority",
             self.path("certs/apiserver.crt"), "--token", TOKEN, "--cache-dir", self.path("cache"), *arguments],
            capture_output=True, text=True, timeout=300, input=text, env={"PATH": os.environ["PATH"], "KUBECONFIG": "/dev/null"})

    def create(self, thing, *arguments):
        return self.kubectl("create", "--validate=strict", "-f", "-", *arguments, text=json.dumps(thing))
