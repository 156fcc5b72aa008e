#!/usr/bin/env python3
# web.py - the page: how large, how soon a click shows, how smooth under news: web.py. SPDX-License-Identifier: Apache-2.0
#
# Over all stages on the same machine, and drawn by the processor: a browser with a graphics card of its own does better.
import json
import os
import random
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT + "/tests/integration", ROOT + "/tests/e2e"]

import conftest  # noqa: E402
from stack import BIN, DeployedStack, die_with_parent, started_servers  # noqa: E402

PROJECTS, UPDATES, VOTES = 500, 200, 320  # of the votes some change nothing
ROUNDS, CLICKS = 16, 10
LEAD_SECONDS, SECONDS = 6, 10
WANTED = {"page_kib": 120, "client_kib": 4, "click_ms": 16, "fps": 50}

# From the time stamp of the click, which the browser gives it when the input comes, before the page hears of it: `came` when
# the page does, `handled` when the document has the new count, `framed` when the next frame's callbacks run, `painted` in the
# first task behind the rendering of that frame. `presented`, from the same moment until that frame is on the screen, is told by
# the browser's compositor (EventLatency). What comes behind the browser is not measured.
WATCH = """() => {
  window.clicks = [];
  addEventListener("click", (event) => {
    const number = event.target.closest(".card").querySelector(".number"), before = number.textContent;
    const click = { came: performance.now() - event.timeStamp, handled: 0, framed: 0, painted: 0, isShown: false };
    const since = () => performance.now() - event.timeStamp;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { click.painted = since(); window.clicks.push(click); };
    addEventListener("click", () => { click.handled = since(); }, { once: true }); // bubbles: the last of all
    requestAnimationFrame(() => {
      click.framed = since();
      click.isShown = number.textContent !== before;
      channel.port2.postMessage(null);
    });
  }, true);
}"""

# The least that a page can do: what this takes is the browser's, whatever is on the page.
BARE = """() => {
  document.body.innerHTML = `<div class="card" data-project="p1">
    <button data-direction="up" style="width: 44px; height: 44px">up</button> <b class="number">0</b></div>`;
  const number = document.querySelector(".number");
  let count = 0;
  document.querySelector("button").addEventListener("click", () => { number.textContent = ++count; });
}"""

# A click's parts, one behind the other.
PARTS = (("until the page hears of it", lambda click: click["came"]),
         ("its handlers", lambda click: click["handled"] - click["came"]),
         ("until the next frame", lambda click: click["framed"] - click["handled"]),
         ("style, layout, painting", lambda click: click["painted"] - click["framed"]),
         ("raster, presentation", lambda click: click["presented"] - click["painted"]))

FRAMES = """async (ms) => {
  let changes = 0;
  new MutationObserver((list) => { changes += list.length; }).observe(document.querySelector("#feed"),
    { subtree: true, attributes: true, attributeFilter: ["data-version"] });
  const start = performance.now(), gaps = [];
  let last = start;
  while (last - start < ms) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  const inSight = [...document.querySelectorAll(".card")].filter((card) => {
    const { top, bottom } = card.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }).length;
  return { inSight, fps: gaps.length / ((last - start) / 1000), worst: Math.max(...gaps), changes: changes / ((last - start) / 1000) };
}"""


def verdict(met):
    return "" if met else "  MISSED"


def print_sizes():
    sizes = json.loads(subprocess.run(["node", "scripts/size.mjs"], cwd=ROOT + "/lib/web", check=True, capture_output=True,
                                      text=True).stdout)
    for name, bytes_, wanted in (("scripts of the page", sizes["page"], WANTED["page_kib"]),
                                 ("client.ts alone", sizes["client"], WANTED["client_kib"])):
        print(f"{name + ', gzip':32}{bytes_ / 1024:8.1f} KiB  wanted < {wanted}{verdict(bytes_ < wanted * 1024)}")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Clicker:
    """Clicks on a page, in no rhythm with its frames, and what is known of each."""

    def __init__(self, page, projects):
        self.page, self.projects = page, projects
        self.presented, self.spent = [], 0
        page.do("run", f"({WATCH})()")

    def click(self, times):
        before = self.page.do("processor")
        self.page.do("trace")
        for _ in range(times):
            project = f"p{random.randrange(self.projects) + 1}"
            self.page.do("strike", {"project": project, "arrow": "up", "heldMs": random.uniform(60, 100)})
            time.sleep(random.uniform(0.1, 0.2))
        self.presented += self.page.do("presented")
        self.spent += self.page.do("processor") - before

    def clicks(self):
        clicks = self.page.do("run", "clicks")
        assert len(clicks) == len(self.presented), f"{len(clicks)} clicks, {len(self.presented)} that were presented"
        assert all(click["isShown"] for click in clicks), "a count was not in the first frame behind its click"
        return [dict(click, presented=presented) for click, presented in zip(clicks, self.presented)]


def p50_p95(values):
    return f"{percentile(values, 0.5):.1f} / {percentile(values, 0.95):.1f}"


def print_clicks(page, bare):
    """In turns with a bare page's, so that what else the machine does is in both."""
    both = Clicker(page, 6), Clicker(bare, 1)
    for _ in range(ROUNDS):
        for one in both:
            one.click(CLICKS)
    page_clicks, bare_clicks = (one.clicks() for one in both)
    print(f"{len(page_clicks)} clicks, each count in the first frame behind its click; a bare page's button in turns with it")
    for end in ("painted", "presented"):
        p95, floor = (percentile([click[end] for click in clicks], 0.95) for clicks in (page_clicks, bare_clicks))
        print(f"{f'a click, until it is {end}, p95':36}{p95:6.1f} ms  wanted < {WANTED['click_ms']}{verdict(p95 < WANTED['click_ms'])}"
              f"  (the bare page's {floor:.1f} ms)")
    print(f"  {'ms, p50 / p95':34}{'the page':>16}{'a bare page':>16}")
    for name, part in (("presented", lambda click: click["presented"]), *PARTS):
        print(f"  {name:34}" + "".join(f"{p50_p95([part(click) for click in clicks]):>16}" for clicks in (page_clicks, bare_clicks)))
    spent = [f"{one.spent * 1000 / (ROUNDS * CLICKS):.1f}" for one in both]
    print(f"  {'processor time of its thread, mean':34}{spent[0]:>16}{spent[1]:>16}  (with all that follows from a click)")


def start_load(stack):
    return subprocess.Popen([BIN + "/vote-load", "--users", "2000", "--projects", str(PROJECTS), "--rate", f"{VOTES}/s",
                             "--connections", "8", "--duration", f"{LEAD_SECONDS + SECONDS + 4}s"], env=stack.env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)


def print_frames(page, stack):
    load = start_load(stack)
    try:
        time.sleep(LEAD_SECONDS)
        before = page.do("processor")
        figures = page.do("run", f"({FRAMES})({SECONDS * 1000})")
        busy = (page.do("processor") - before) / SECONDS
    finally:
        load.kill()
        load.wait()
    met = figures["fps"] >= WANTED["fps"] and figures["changes"] >= UPDATES
    print(f"{f'{PROJECTS} projects, {UPDATES} updates/s':32}{figures['fps']:8.1f} frames/s  wanted >= {WANTED['fps']}{verdict(met)}"
          f"  ({figures['changes']:.0f} changes of the page/s, the page's thread {busy:.0%} busy, longest frame "
          f"{figures['worst']:.0f} ms; {figures['inSight']} cards in the window)")


class DeployedWebStack(conftest.WebStack, DeployedStack):
    """With the page, and its broker as it is deployed."""


def main():
    print("The page in Chromium, over all stages on this machine")
    print_sizes()
    names = [f"p{number + 1}" for number in range(PROJECTS)]
    with started_servers(DeployedWebStack, "votepipe-bench-") as stack:
        stack.add_projects(*names)
        stack.start_tools()
        driver = conftest.Driver()
        try:
            page = conftest.Page(driver, stack.url + "/?ids=" + ",".join(names), "ada", viewport={"width": 1200, "height": 900})
            page.live()
            bare = conftest.Page(driver, "about:blank", None, viewport={"width": 1200, "height": 900})
            bare.do("run", f"({BARE})()")
            time.sleep(3)
            print_clicks(page, bare)
            bare.close()
            print_frames(page, stack)
        finally:
            driver.stop()


if __name__ == "__main__":
    main()
