# test_clients.py - the clients that people use: the official JavaScript one, newest and oldest of
# this protocol, and python-socketio. SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess
import threading

import pytest
import socketio

from conftest import eventually

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.path.abspath(os.environ.get("SOCKETIO_MODULES", "build/socketio-clients"))


@pytest.fixture(scope="session")
def modules():
    """The npm packages of package-lock.json, installed once into the build directory."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed: the JavaScript clients are not tested")
    os.makedirs(MODULES, exist_ok=True)
    lock = os.path.join(MODULES, "package-lock.json")
    wanted = open(os.path.join(HERE, "package-lock.json")).read()
    if not os.path.exists(lock) or open(lock).read() != wanted:
        shutil.copy(os.path.join(HERE, "package.json"), MODULES)
        with open(lock + ".new", "w") as file:
            file.write(wanted)
        shutil.copy(lock + ".new", lock)
        try:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=MODULES, check=True,
                           timeout=120, capture_output=True, text=True)
        except subprocess.SubprocessError as error:
            os.unlink(lock)
            raise AssertionError(f"npm ci: {error.stderr}") from error
    return MODULES


@pytest.mark.parametrize("package", ["socket.io-client", "socket.io-client-3"])
@pytest.mark.parametrize("transports", ["polling", "websocket", "polling websocket"])
@pytest.mark.parametrize("deflate", ["0", "1B"])
def test_the_javascript_client_works(start_both, modules, certificates, package, transports, deflate):
    server = start_both("--permessage-deflate", deflate)
    result = subprocess.run(
        ["node", os.path.join(HERE, "client.cjs"), server.http, package, *transports.split()],
        env={**os.environ, "NODE_PATH": os.path.join(modules, "node_modules"), "NODE_EXTRA_CA_CERTS": certificates.ca},
        timeout=60, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
def test_the_python_client_works(server, transports):
    client = socketio.Client()
    came = []
    client.on("auth", lambda auth: came.append(auth))
    client.on("message-back", lambda *args: came.append(args))
    client.connect(server.http, transports=transports, auth={"token": "py"})
    eventually(lambda: came)
    client.emit("message", ("a", {"b": b"\x00\x01"}, 3))
    eventually(lambda: len(came) == 2)
    assert came == [{"token": "py"}, ("a", {"b": b"\x00\x01"}, 3)]
    assert client.call("message-with-ack", {"x": [1]}) == {"x": [1]}
    assert client.transport() == transports[-1]
    client.disconnect()


def test_the_python_client_hears_that_the_server_goes(start):
    server = start("--ping-interval", "20s")
    client = socketio.Client(reconnection=False)
    gone = threading.Event()
    client.on("disconnect", gone.set)
    client.connect(server.http, transports=["websocket"])
    server.terminate()
    assert gone.wait(5)
    client.disconnect()
