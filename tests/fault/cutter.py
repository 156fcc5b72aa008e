# cutter.py - a connection to a server that ends in the middle of a given command. SPDX-License-Identifier: Apache-2.0
import contextlib
import socket
import struct
import threading

from stack import free_port

CHUNK = 65536


class Cutter:
    """Hands everything on to the port behind it. Told so, it ends the connection before some bytes come through: once."""

    def __init__(self, target):
        self.target, self.port, self.needle, self.cut = target, free_port(), None, threading.Event()
        self.blocked, self.open = False, set()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def cut_before(self, needle):
        self.cut.clear()
        self.needle = needle

    def block(self, blocked):
        """No connection stays, and none is made."""
        self.blocked = blocked
        for end in list(self.open) if blocked else ():
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.blocked:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self.open |= {client, server}
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self.pump, args=ends, daemon=True).start()

    def pump(self, source, sink, is_request):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                needle = self.needle if is_request else None
                at = data.find(needle) if needle else -1
                sink.sendall(data if at < 0 else data[:at])
                if at >= 0:
                    self.needle = None
                    break
        self.open -= {source, sink}
        for end in (source, sink):
            with contextlib.suppress(OSError):  # FIN to the server, which is to carry out what it got; RST to the client
                if end is source and is_request:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
        if is_request and self.needle is None:
            self.cut.set()

    def close(self):
        self.listener.close()
