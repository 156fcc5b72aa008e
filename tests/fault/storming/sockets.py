# sockets.py - browsers that stay open throughout, and come back when they are sent away. SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import logging
import threading

import socketio

COUNTS = ("upvotes", "downvotes", "version")
PRIVATE = ("user_id", "request_id", "user_vote")
AGAIN_SECONDS = 0.3
logging.getLogger("engineio.client").setLevel(logging.CRITICAL)  # that a connection breaks is the point


class Watcher:
    """One open page: it looks at all projects, as somebody or as nobody, and drops what is older than what it has."""

    def __init__(self, url, projects, user, token):
        self.url, self.projects, self.user, self.token = url, projects, user, token
        self.counts, self.own, self.leaks, self.backwards = {}, [], [], []
        self.connections, self.events, self.seen = 0, 0, {}

    async def stay(self):
        while True:
            client = socketio.AsyncClient(reconnection=False)
            client.on("*", self.hear)
            with contextlib.suppress(socketio.exceptions.SocketIOError, asyncio.TimeoutError, OSError):
                await client.connect(self.url, auth={"token": self.token} if self.token else None, transports=["websocket"], wait_timeout=5)
                self.connections, self.seen = self.connections + 1, {}
                await self.subscribe(client)
                await client.wait()
            await self.leave(client)
            await asyncio.sleep(AGAIN_SECONDS)

    async def leave(self, client):
        with contextlib.suppress(Exception):
            await client.disconnect()
        if client.eio.http and not client.eio.http.closed:
            await client.eio.http.close()

    async def subscribe(self, client):
        answer = {}
        while not answer.get("ok"):
            answer = await client.call("subscribe", {"project_ids": self.projects}, timeout=10)
            if not answer.get("ok"):
                await asyncio.sleep(AGAIN_SECONDS)
        for project, counts in answer["projects"].items():
            self.take(project, counts)

    async def hear(self, event, payload):
        self.events += 1
        if self.user and "request_id" in payload:
            self.own.append({"event": event, "request_id": payload["request_id"], "user_vote": payload.get("user_vote")})
            if event == "vote:failed":
                return
        else:
            self.leaks += [f"{event} with {name}" for name in PRIVATE if name in payload]
            if payload["version"] < self.seen.get(payload["project_id"], 0):
                self.backwards.append(f"{payload['project_id']}: version {payload['version']} behind {self.seen[payload['project_id']]}")
            self.seen[payload["project_id"]] = payload["version"]
        self.take(payload["project_id"], payload)

    def take(self, project, payload):
        if "version" in payload and payload["version"] >= self.counts.get(project, {"version": -1})["version"]:
            self.counts[project] = {name: payload[name] for name in COUNTS}

    def evidence(self):
        return {name: getattr(self, name) for name in ("url", "user", "counts", "own", "leaks", "backwards", "connections", "events")}


class Watchers:
    """They live in a thread of their own."""

    def __init__(self, urls, projects, tokens):
        """tokens: (user, token) of those who look as somebody; as many look as nobody."""
        people = [*tokens, *[(None, None)] * len(tokens)]
        self.watchers = [Watcher(urls[n % len(urls)], projects, *person) for n, person in enumerate(people)]
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self):
        self.thread.start()
        for watcher in self.watchers:
            asyncio.run_coroutine_threadsafe(watcher.stay(), self.loop)

    def stop(self):
        async def leave():
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()
            await asyncio.sleep(0.1)
        asyncio.run_coroutine_threadsafe(leave(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

    def evidence(self):
        return [watcher.evidence() for watcher in self.watchers]
