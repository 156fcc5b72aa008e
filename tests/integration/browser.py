# browser.py - an open browser, by a Socket.IO client that is not ours. SPDX-License-Identifier: Apache-2.0
import socketio


class Browser:
    """A Socket.IO client that keeps all it is told: (event, payload), in order."""

    def __init__(self, url, token=None, transports=("websocket",), projects=(), reconnects=False):
        self.events, self.closed = [], 0
        self.client = socketio.Client(reconnection=reconnects, reconnection_delay=0.2, reconnection_delay_max=1)
        self.client.on("*", self.keep)
        self.client.on("disconnect", self.gone)
        self.projects, self.answer = list(projects), None
        self.client.on("connect", self.resubscribe)
        self.client.connect(url, auth={"token": token} if token else None, transports=list(transports), wait_timeout=20)

    def keep(self, event, payload):
        self.events.append((event, payload))

    def gone(self):
        self.closed += 1

    def resubscribe(self):
        if self.projects:
            self.client.emit("subscribe", {"project_ids": self.projects}, callback=self.keep_answer)

    def keep_answer(self, answer):
        self.answer = answer
        for name, counts in answer.get("projects", {}).items():
            self.events.append(("snapshot", dict(counts, project_id=name)))

    def call(self, event, payload):
        return self.client.call(event, payload, timeout=20)

    def subscribe(self, *projects):
        answer = self.call("subscribe", {"project_ids": list(projects)})
        self.keep_answer(answer)
        return answer

    def of(self, project, *names):
        return [payload for name, payload in list(self.events) if payload.get("project_id") == project and (not names or name in names)]

    def close(self):
        self.client.disconnect()
