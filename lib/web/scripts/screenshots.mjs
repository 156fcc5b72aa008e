// screenshots.mjs - pictures of the page for the README: screenshots.mjs URL DIRECTORY. SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [url = "http://127.0.0.1:8080/", directory = "../../pipelines/img"] = process.argv.slice(2);
const pictures = [
  { name: "page-light", viewport: { width: 1120, height: 880 }, colorScheme: "light" },
  { name: "page-dark", viewport: { width: 1120, height: 880 }, colorScheme: "dark" },
  { name: "page-phone", viewport: { width: 390, height: 844 }, colorScheme: "light", isMobile: true, hasTouch: true },
];

const TITLES = ["solar-roofs-on-schools", "a-bridge-for-bicycles", "night-bus-every-20-minutes", "longer-library-hours", "trees-along-the-main-street",
  "a-repair-cafe", "swimming-in-the-river", "benches-with-shade", "drinking-fountains", "a-car-free-market-square", "open-air-cinema", "quieter-trams"];

async function post(path, body, token) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(new URL(path, url), { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response.json();
}

/** Thirty people vote, the same way each time. */
async function vote() {
  for (let person = 0; person < 30; person++) {
    const { token } = await post("/demo/token", { user: `visitor-${person}` });
    await Promise.all(TITLES.filter((_, i) => (person * 7 + i * 5) % 12 < 12 - i / 2).map((project_id, i) =>
      post("/api/votes", { project_id, vote_type: (person + i * i) % 7 < 6 - i / 4 ? "up" : "down", toggle: false }, token)));
  }
}

mkdirSync(directory, { recursive: true });
await vote();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
for (const { name, ...options } of pictures) {
  const page = await browser.newPage(options);
  await page.addInitScript((user) => localStorage.setItem("votepipe.user", user), "ada");
  await page.goto(url);
  await page.locator("[data-live=live]").waitFor();
  await page.waitForTimeout(1_000); // the own votes have come
  for (const title of ["Solar roofs on schools", "Longer library hours"]) {
    const arrow = page.getByRole("button", { name: `Vote up: ${title}` });
    if ((await arrow.getAttribute("aria-pressed")) === "true") await arrow.click(); // taken back, to be given anew
    await arrow.click();
  }
  await page.waitForTimeout(6_000); // figures and the leaderboard have come
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${directory}/${name}.png` });
  await page.close();
}
await browser.close();
