# conftest.py - all four daemons, some votes, and what they show of themselves. SPDX-License-Identifier: Apache-2.0
import pytest

from scrape import Series
from stack import free_port

DAEMONS = ("vote-ingest", "vote-commit", "vote-invalidate", "vote-notify")


@pytest.fixture(scope="session")
def watched(running):
    """The running stack with every daemon, by name in `daemons`; votes have gone through."""
    running.daemons = {"vote-ingest": running.main_ingest, "vote-commit": running.main_commit}
    running.daemons["vote-invalidate"] = running.tool("vote-invalidate", "--check-interval", "500ms", "--debounce", "100ms",
                                                      "--max-wait", "500ms", "-X", "session.timeout.ms=6000").start()
    running.daemons["vote-notify"] = running.tool("vote-notify", "--listen", f"127.0.0.1:{free_port()}").start()
    running.add_projects("watched-1", "watched-2")
    for number in range(20):
        token = running.token(f"watcher-{number}")
        for project in ("watched-1", "watched-2"):
            answer = running.vote(token, project, ("up", "down")[number % 2], variant="ab"[number % 2])
            assert answer.status_code == 202
    running.wait_committed(token, answer.json()["data"]["request_id"])
    return running


@pytest.fixture
def series(watched):
    """series(daemon): its /metrics as a Series."""
    return lambda name: Series(watched.daemons[name].metrics())
