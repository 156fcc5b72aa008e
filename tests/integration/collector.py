# collector.py - takes spans as OTLP/HTTP JSON, and can be slow, refuse or be away. SPDX-License-Identifier: Apache-2.0
import collections
import http.server
import json
import threading
import time

from stack import free_port, wait_until

Span = collections.namedtuple("Span", "service trace id parent name kind start end attributes links failed")


def values_of(attributes):
    """OTLP's key-value list as a dict; numbers come as strings."""
    return {a["key"]: a["value"].get("stringValue", int(a["value"].get("intValue", 0)) if "intValue" in a["value"] else None)
            for a in attributes}


def span_of(resource, span):
    return Span(resource["service.name"], span["traceId"], span["spanId"], span.get("parentSpanId"), span["name"], span["kind"],
                int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]), values_of(span.get("attributes", [])),
                [(link["traceId"], link["spanId"]) for link in span.get("links", [])], span.get("status", {}).get("code") == 2)


class Collector:
    """answer(number of the call) is (status, headers, body); hang makes it wait until release()."""

    def __init__(self, answer=lambda number: (200, {}, b"{}"), hang=False, start=True):
        self.port, self.answer = free_port(), answer
        self.url = f"http://127.0.0.1:{self.port}/otlp"
        self.calls, self.spans, self.resources = [], [], []
        self.released = threading.Event()
        if not hang:
            self.released.set()
        self.server = None
        if start:
            self.start()

    def start(self):
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, self.headers, body, self.reply)

            def reply(self, status, headers, body):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a caller that went away while it hung
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def take(self, path, headers, body, reply):
        number = len(self.calls)
        self.calls.append((time.monotonic(), path, dict(headers), body))
        self.released.wait()
        status, more, answer = self.answer(number)
        if status == 200:
            self.keep(json.loads(body))
        reply(status, more, answer)

    def keep(self, request):
        for group in request["resourceSpans"]:
            resource = values_of(group["resource"]["attributes"])
            self.resources.append(resource)
            self.spans += [span_of(resource, span) for scope in group["scopeSpans"] for span in scope["spans"]]

    def trace(self, trace_id):
        return [span for span in list(self.spans) if span.trace == trace_id]

    def trace_of(self, request_id):
        """The trace that the vote's POST is in, once it has come."""
        found = wait_until(lambda: [s for s in list(self.spans) if s.attributes.get("vote.request_id") == request_id], 30, "its spans")
        return found[0].trace

    def wait_for(self, trace_id, *names, seconds=40):
        """The spans of a trace by name, once those are there: (service, name) or name."""
        def complete():
            spans = {key: s for s in self.trace(trace_id) for key in (s.name, (s.service, s.name))}
            return all(name in spans for name in names) and spans
        return wait_until(complete, seconds, f"{names} in {sorted(s.name for s in self.trace(trace_id))}")

    def stop(self):
        self.released.set()
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
