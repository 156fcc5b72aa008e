#!/usr/bin/env python3
# screenshots.py - pictures of the page, by a stack of its own: screenshots.py DIRECTORY. SPDX-License-Identifier: Apache-2.0
import math
import os
import random
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT + "/tests/integration", ROOT + "/tests/e2e"]

import conftest  # noqa: E402
import png  # noqa: E402
from stack import BIN, started_servers  # noqa: E402

PICTURES = {
    "page-light": {"viewport": {"width": 1100, "height": 840}, "colorScheme": "light"},
    "page-dark": {"viewport": {"width": 1100, "height": 840}, "colorScheme": "dark"},
    "page-phone": {"viewport": {"width": 390, "height": 844}, "colorScheme": "light", "isMobile": True, "hasTouch": True},
}
OWN = [("solar-roofs-on-schools", "up"), ("quieter-trams", "down"), ("trees-along-the-main-street", "up")]
VOTERS = 40
LIFE_SECONDS = 30  # of votes, so that the line of the figures has a shape


def projects():
    with open(ROOT + "/pipelines/local/projects.csv") as lines:
        return [line.split(",")[0] for line in lines][1:]


def vote_all(stack, tokens, names):
    """The same votes each time: the projects with names are liked, the first ones most."""
    chance = random.Random(3)
    for token in tokens:
        for place, name in enumerate(names):
            if chance.random() < 0.9 - place * 0.03:
                stack.vote(token, name, "up" if chance.random() < 0.94 - place * 0.02 else "down", toggle=False)


def live(stack, tokens, names, until):
    chance = random.Random(5)
    while time.monotonic() < until:
        stack.vote(chance.choice(tokens), chance.choice(names[-12:]), chance.choice(["up", "down"]))
        time.sleep(0.03 + 0.05 * (1 + math.sin(time.monotonic() / 2.5)))


def take(stack, driver, name, options, directory):
    user = "ada" if name != "page-dark" else "grace"
    page = conftest.Page(driver, stack.url + "/", user, **options).live()
    time.sleep(LIFE_SECONDS - 12)
    for project, arrow in OWN:
        page.press(project, arrow, 2 if page.card(project)["pressed"][arrow == "down"] else 1)
        time.sleep(0.4)
    time.sleep(4)
    path = os.path.join(os.path.abspath(directory), name + ".png")
    page.do("picture", path)
    png.squeeze(path)
    page.close()


def main(directory):
    names = projects()
    named = [name for name in names if "-" in name]
    with started_servers(conftest.WebStack, "votepipe-pictures-") as stack:
        subprocess.run([BIN + "/vote-admin", "projects", "import", ROOT + "/pipelines/local/projects.csv"],
                       env=stack.env, check=True, capture_output=True)
        stack.start_tools()
        tokens = [stack.token(f"visitor-{number}") for number in range(VOTERS)]
        vote_all(stack, tokens, named)
        driver = conftest.Driver()
        try:
            for name, options in PICTURES.items():
                life = threading.Thread(target=live, args=(stack, tokens, named, time.monotonic() + LIFE_SECONDS))
                life.start()
                take(stack, driver, name, options, directory)
                life.join()
        finally:
            driver.stop()


if __name__ == "__main__":
    main(sys.argv[1])
