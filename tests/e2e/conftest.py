# conftest.py - a stack with its page, and browsers that look at it. SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess
import uuid

import pytest

from stack import ROOT, Stack, die_with_parent, free_port, started_servers, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ROOT + "/lib/web/node_modules"
WEB = ROOT + "/build/web"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


class Page:
    """A tab of a browser of its own; what cannot be done within seconds fails the test."""

    def __init__(self, driver, url, user, **options):
        self.driver, self.name = driver, uuid.uuid4().hex
        driver.ask(None, "open", dict(options, name=self.name, url=url, user=user))

    def do(self, action, argument=None):
        return self.driver.ask(self.name, action, argument)

    def press(self, project, arrow, times=1):
        self.do("press", {"project": project, "arrow": arrow, "times": times})

    def card(self, project):
        return self.do("card", project)

    def wait(self, project, seconds=20, **wanted):
        def shown():
            card = self.card(project)
            return all(card[name] == value for name, value in wanted.items())
        try:
            wait_until(shown, seconds, f"{project} shows {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.card(project)}") from None

    def live(self):
        self.do("status", "live")
        return self

    def close(self):
        self.do("close")


class Driver:
    def __init__(self):
        self.process = subprocess.Popen(["node", HERE + "/driver.cjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "NODE_PATH": MODULES, "CHROMIUM": CHROMIUM}, preexec_fn=die_with_parent)

    def ask(self, page, action, argument):
        self.process.stdin.write(json.dumps({"page": page, "action": action, "argument": argument}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the browser ended"
        answer = json.loads(line)
        assert "error" not in answer, f"{action} {argument}: {answer.get('error')}"
        return answer["value"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)


class WebStack(Stack):
    """All stages, with the page and tokens for everybody."""

    def start_tools(self):
        self.notify_port, self.plain_port = free_port(), free_port()
        self.notify_url = f"http://127.0.0.1:{self.notify_port}"
        plain = f"http://127.0.0.1:{self.plain_port}"  # a site that only has vote buttons
        self.page_options = ("--web-root", WEB, "--notify-url", self.notify_url)
        self.api = self.ingest(None, *self.page_options, "--dev-tokens", "--cors-origins", plain).start()
        # what can never be committed is given up at once, so that a test need not wait for it
        self.commit("--retry-delays", "200ms,200ms").start()
        self.bare_port = free_port()  # for a page whose visitors bring their token
        origins = f"{self.url},{plain},http://127.0.0.1:{self.bare_port}"
        self.notify = self.tool("vote-notify", "--listen", f"127.0.0.1:{self.notify_port}", "--cors-origins", origins)
        self.notify.start()


@pytest.fixture(scope="session")
def stack():
    if not os.path.exists(WEB + "/index.html") or not os.path.isdir(MODULES) or not shutil.which("node"):
        pytest.skip("the page was not built: node and npm are not installed")
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"{CHROMIUM} is not installed: the page is not tested")
    with started_servers(WebStack, "votepipe-e2e-") as stack:
        stack.start_tools()
        yield stack


@pytest.fixture(scope="session")
def driver(stack):
    driver = Driver()
    yield driver
    driver.stop()


@pytest.fixture
def project(stack):
    name = "e2e-" + uuid.uuid4().hex[:10]
    stack.add_projects(name)
    stack.redis().delete(*(stack.redis().keys("cache:leaderboard:*") or ["none"]))
    return name


@pytest.fixture
def open_page(stack, driver, project):
    """open_page(user=..., options...): a page that is live. None has said anything wrong when the test ends."""
    pages = []

    def open_one(user=None, url=stack.url + "/", live=True, **options):
        page = Page(driver, url, user or "u-" + uuid.uuid4().hex[:8], **options)
        pages.append(page)
        if live:
            page.live()
            page.wait(project, pressed=[False, False], count="0")
        return page

    yield open_one
    records = [page.do("record") for page in pages]
    for page in pages:
        page.close()
    for record in records:
        assert record["errors"] == []
        assert [url for url in record["requests"] if "://127.0.0.1:" not in url and not url.startswith("data:")] == []
