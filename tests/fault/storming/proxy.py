# proxy.py - links between the parts of a stack, each of which can be cut: a process of its own.
#
# proxy.py FILE: FILE is JSON, {link: [port to listen on, port to go to]}. Orders come by stdin, one JSON a line:
# {"link", "mode": "drop" | "hang" | "delay" | "truncate" | null, "amount"}.
# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import struct
import socket
import sys

CHUNK = 65536


class Link:
    """One direction of who talks to whom. A stream that has lost bytes is never mended: it is reset."""

    def __init__(self, target):
        self.target, self.mode, self.amount, self.streams = target, None, 0, set()
        self.changed = asyncio.Event()

    def order(self, mode, amount):
        was, self.mode, self.amount = self.mode, mode, amount
        self.changed.set()
        self.changed = asyncio.Event()
        if mode == "drop" or was == "hang":
            self.reset_all()

    def reset_all(self):
        for writer in list(self.streams):
            reset(writer)

    async def accept(self, reader, writer):
        if self.mode == "drop":
            reset(writer)
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        pair = {writer, there_writer}
        self.streams |= pair
        try:
            await asyncio.gather(self.pump(reader, there_writer, pair), self.pump(there_reader, writer, pair))
        finally:
            self.streams -= pair
            for end in pair:
                end.close()

    async def pump(self, reader, writer, pair):
        try:
            while data := await reader.read(CHUNK):
                if not await self.forward(data, writer):
                    for end in pair:
                        reset(end)
                    return
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            for end in pair:
                reset(end)

    async def forward(self, data, writer):
        """False when the stream is not to go on."""
        while self.mode == "hang":
            await self.changed.wait()
        if self.mode == "delay":
            await asyncio.sleep(self.amount / 1000)
        whole = self.mode != "truncate" or len(data) <= self.amount
        if self.mode == "truncate":
            data, self.amount = data[:self.amount], max(0, self.amount - len(data))
        writer.write(data)
        await writer.drain()
        return whole


def reset(writer):
    """RST rather than FIN: nobody may take it for a good end."""
    plain = writer.get_extra_info("socket")
    if plain is not None and not writer.is_closing():
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def obey(links):
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = json.loads(line)
        links[order["link"]].order(order["mode"], order["amount"])


async def main(path):
    ports = json.load(open(path))
    links = {name: Link(target) for name, (_, target) in ports.items()}
    for name, (port, _) in ports.items():
        await asyncio.start_server(links[name].accept, "127.0.0.1", port)
    print("ready", flush=True)
    await obey(links)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
