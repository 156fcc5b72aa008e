# test_plain.py - the vote button of lib/web/plain, from a site of its own. SPDX-License-Identifier: Apache-2.0
import functools
import http.server
import os
import shutil
import threading

import pytest

from stack import ROOT, wait_until

WEB = ROOT + "/lib/web"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(stack, project, tmp_path):
    """The folder as it is, but for the addresses and the project."""
    shutil.copytree(WEB + "/plain", tmp_path / "plain")
    for name in ("dist", "node_modules"):
        os.symlink(f"{WEB}/{name}", tmp_path / name)
    for name, changes in (("button.js", (("http://127.0.0.1:8080", stack.url), ("http://127.0.0.1:8081", stack.notify_url))),
                          ("index.html", (("p1", project),))):
        text = (tmp_path / "plain" / name).read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "plain" / name).write_text(text)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", stack.plain_port), functools.partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{stack.plain_port}/plain/"
    server.shutdown()
    server.server_close()


def test_a_button_on_a_plain_page_votes_and_follows_the_others(stack, project, site, open_page):
    page = open_page(url=site, live=False)

    def shown():
        return page.do("run", "(b => [b.querySelector('output').textContent, b.getAttribute('aria-pressed')])(document.querySelector('button'))")
    wait_until(lambda: shown() == ["0", "false"], 20, "the counts of now")
    page.do("click", "Up")
    wait_until(lambda: stack.counts(project) == (1, 0), 20, "the vote")
    assert shown() == ["1", "true"]
    stack.vote(stack.token("another"), project, "up")
    wait_until(lambda: shown() == ["2", "true"], 20, "another's vote")
    page.do("click", "Up")
    wait_until(lambda: shown() == ["1", "false"] and stack.counts(project) == (1, 0), 20, "the vote taken back")
