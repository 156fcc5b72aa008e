// driver.cjs - Chromium for tests in another language: a line of JSON in, {page, action, argument}, a line of JSON out.
// NODE_PATH names the packages of lib/web. SPDX-License-Identifier: Apache-2.0
const { readFileSync } = require("node:fs");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const WAIT_MS = 20_000;
const pages = new Map();
let browser;

/** What the page shows of a project. */
const readCard = (card) => ({
  count: card.querySelector(".number").textContent.replace("−", "-"),
  up: card.querySelector(".ups").textContent,
  down: card.querySelector(".downs").textContent,
  pressed: [...card.querySelectorAll("button")].map((button) => button.getAttribute("aria-pressed") === "true"),
  waiting: card.querySelector(".count").dataset.pending === "true",
});

/** A server that a test has ended is no fault of the page. */
const isNetwork = (text) => /Failed to load resource|net::ERR|WebSocket connection/.test(text);

const card = (page, project) => page.locator(`[data-project="${project}"]`);
const arrow = (page, { project, arrow }) => card(page, project).locator(`button[data-direction="${arrow}"]`);

const actions = {
  /** trouble: "refuse" or "hold", what the server does with questions for the leaderboard until it is over. */
  async open(_, { name, url, user, trouble, ...options }) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    if (trouble) await page.route("**/api/leaderboard*", (route) => trouble === "refuse" && route.fulfill({ status: 503, body: "" }));
    page.record = { requests: [], errors: [] };
    page.on("request", (request) => page.record.requests.push(request.url()));
    page.on("websocket", (socket) => page.record.requests.push(socket.url()));
    page.on("pageerror", (error) => page.record.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && !isNetwork(message.text())) page.record.errors.push(message.text());
    });
    if (user) await page.addInitScript((value) => localStorage.getItem("votepipe.user") ?? localStorage.setItem("votepipe.user", value), user);
    await page.goto(url);
    pages.set(name, page);
  },
  recover: (page) => page.unroute("**/api/leaderboard*"),
  close: (page) => page.context().close(),
  record: (page) => page.record,
  status: (page, text) => page.locator(`[data-live="${text}"]`).waitFor({ timeout: WAIT_MS }),
  card: (page, project) => card(page, project).evaluate(readCard),
  async press(page, what) {
    for (let i = 0; i < (what.times ?? 1); i++) await arrow(page, what).click({ delay: 0 });
  },
  /** A click of the mouse alone, held down as a hand does: none of the checks that the driver makes in the page beside it. */
  async strike(page, what) {
    const { x, y, width, height } = await arrow(page, what).boundingBox();
    await page.mouse.click(x + width / 2, y + height / 2, { delay: what.heldMs });
  },
  trace: (page) => browser.startTracing(page, { categories: ["input.scrolling"] }), // the fewest that have EventLatency
  /** For each click since `trace`: ms from the input to the frame in which it is presented, as the browser's compositor tells. */
  async presented() {
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
    const begun = new Map(), clicks = [];
    for (const { name, ph, pid, id, id2, ts, args } of traceEvents.filter((one) => one.name === "EventLatency").sort((a, b) => a.ts - b.ts)) {
      const key = `${pid} ${id ?? id2?.local ?? id2?.global}`;
      if (ph === "b") begun.set(key, { ts, type: args.event_latency?.event_type });
      else if (begun.get(key)?.type === "MOUSE_RELEASED") clicks.push((ts - begun.get(key).ts) / 1000);
    }
    return clicks;
  },
  /** Seconds of processor time that the thread of the page's scripts, layout and painting has had. */
  async processor(page) {
    page.session ??= await page.context().newCDPSession(page);
    await page.session.send("Performance.enable", { timeDomain: "threadTicks" });
    const { metrics } = await page.session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration").value;
  },
  doubleClick: (page, what) => arrow(page, what).dblclick(),
  tap: (page, what) => arrow(page, what).tap(),
  async toast(page, text) {
    await page.locator(".toast", { hasText: text }).first().waitFor({ timeout: WAIT_MS });
    return page.locator(".toast").allTextContents();
  },
  async key(page, name) {
    await page.keyboard.press(name);
    return page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
  },
  user: (page, name) => page.getByLabel("Voting as").selectOption(name),
  text: (page, selector) => page.locator(selector).innerText(),
  aloud: (page) => page.getByRole("status").textContent(),
  async picture(page, path) {
    await page.mouse.move(0, 0);
    await page.evaluate(() => (document.activeElement?.blur(), scrollTo(0, 0)));
    await page.screenshot({ path });
  },
  fill: (page, [label, text]) => page.getByLabel(label).fill(text),
  click: (page, name) => page.getByRole("button", { name }).click(),
  async see(page, text) {
    await page.getByText(text).first().waitFor({ timeout: WAIT_MS });
  },
  activity: (page) => page.locator(".request").evaluateAll((items) => items.map((item) => ({ state: item.dataset.state, text: item.textContent }))),
  /** Whether anything reaches beyond the viewport, and the smallest side of a button. */
  layout: (page) => page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    smallest: Math.min(...[...document.querySelectorAll("button, select")].map((element) => Math.min(element.offsetWidth, element.offsetHeight))),
  })),
  async axe(page) {
    await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8")); // by the debugger: no policy forbids it
    return page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
      return violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.slice(0, 3).map((node) => node.html) }));
    });
  },
  /** The sum of layout shifts that no input has caused. */
  shifts: (page) => page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list, observer) => {
      observer.disconnect();
      resolve(list.getEntries().filter((entry) => !entry.hadRecentInput).reduce((sum, entry) => sum + entry.value, 0));
    }).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => resolve(0), 500);
  })),
  run: (page, code) => page.evaluate(code),
};

async function answer(line) {
  const { page, action, argument } = JSON.parse(line);
  try {
    return { value: (await actions[action](pages.get(page), argument)) ?? null };
  } catch (error) {
    return { error: String(error) };
  }
}

async function main() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  for await (const line of readline.createInterface({ input: process.stdin })) console.log(JSON.stringify(await answer(line)));
  await browser.close();
}

main();
