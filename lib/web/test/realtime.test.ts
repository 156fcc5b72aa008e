// realtime.test.ts - subscriptions over real Socket.IO. SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { createSession, type Session } from "../src/session.js";
import { openSocket } from "../src/socket.js";
import type { LiveStatus } from "../src/store.js";
import type { TokenProvider } from "../src/types.js";
import { aWhile, Backend, until } from "./backend.js";

let backend: Backend;
let session: Session;
let statuses: LiveStatus[];

function open({ token = () => "t1", maxProjects }: { token?: TokenProvider; maxProjects?: number } = {}) {
  session = createSession({
    client: createClient({ baseUrl: backend.url, token }), socket: openSocket(backend.url, token), maxProjects,
  });
  const realtime = session.realtime!;
  statuses = [];
  realtime.subscribe(() => statuses.push(realtime.status()));
  session.start();
  return realtime;
}

const isLive = () => session.realtime!.status() === "live";
const known = (id: string) => session.store.get(id).known;

beforeEach(async () => {
  backend = await new Backend().start();
});
afterEach(async () => {
  session.stop();
  await backend.stop();
});

test("what is on the screen is subscribed once, in one message", async () => {
  const realtime = open();
  realtime.watch(["a", "b"]);
  realtime.watch(["b", "c"]);
  await until(() => isLive() && known("c"));
  expect(backend.messages).toEqual([{ event: "subscribe", project_ids: ["a", "b", "c"] }]);
});

test("a project is left when the last who looks at it has gone", async () => {
  const realtime = open();
  const first = realtime.watch(["a"]);
  const second = realtime.watch(["a"]);
  await until(() => known("a"));
  first();
  first(); // twice is once
  await aWhile();
  expect(backend.messages).toHaveLength(1);
  second();
  await until(() => backend.messages.length === 2);
  expect(backend.messages[1]).toEqual({ event: "unsubscribe", project_ids: ["a"] });
});

test("who comes back in the same moment causes no message", async () => {
  const realtime = open();
  const leave = realtime.watch(["a"]);
  await until(() => known("a"));
  leave();
  realtime.watch(["a"]);
  await aWhile();
  expect(backend.messages).toHaveLength(1);
});

test("no more than the server lets one client look at; the rest moves up", async () => {
  const realtime = open({ maxProjects: 2 });
  const leave = realtime.watch(["a", "b"]);
  realtime.watch(["c", "d"]);
  await until(isLive);
  expect(known("c")).toBe(false);
  leave();
  await until(() => known("c") && known("d"));
  expect(backend.messages.map(({ event, project_ids }) => `${event} ${project_ids.join("")}`))
    .toEqual(["subscribe ab", "unsubscribe ab", "subscribe cd"]);
});

test("what is no project id does not spoil the others", async () => {
  open().watch(["a", "", "no id", "x".repeat(65)]);
  await until(() => known("a"));
  expect(backend.messages).toEqual([{ event: "subscribe", project_ids: ["a"] }]);
});

test("the counts move when others vote", async () => {
  open().watch(["a"]);
  await until(() => known("a"));
  backend.others("a", 3);
  await until(() => session.store.get("a").upvotes === 13);
});

test("an older version is dropped", async () => {
  open().watch(["a"]);
  await until(() => known("a"));
  backend.tellPublic("a", { upvotes: 99, version: 4 });
  backend.others("a");
  await until(() => session.store.get("a").version === 6);
  expect(session.store.get("a").upvotes).toBe(11);
});

test("the page tells that it is connecting, live, and off", async () => {
  const realtime = open();
  expect(realtime.status()).toBe("connecting");
  await until(isLive);
  session.stop();
  expect(statuses).toEqual(["connecting", "live", "off"]);
});

test("after a restart of the server the page is live again with the counts of meanwhile", async () => {
  open().watch(["a"]);
  await until(() => isLive() && known("a"));
  const back = await backend.goAway();
  await until(() => session.realtime!.status() === "reconnecting");
  backend.row("a").upvotes = 40;
  backend.row("a").version = 9;
  await back();
  await until(isLive, 6000);
  expect(session.store.get("a").upvotes).toBe(40);
  expect(statuses).toEqual(["connecting", "live", "reconnecting", "live"]);
});

test("a page that the server sends away comes back", async () => {
  open().watch(["a"]);
  await until(isLive);
  backend.dropClients();
  await until(() => statuses.includes("reconnecting"));
  await until(isLive, 4000);
});

test("a token that was refused is asked for anew", async () => {
  const asked: boolean[] = [];
  backend.refuse = (socket) => (socket.handshake.auth.token === "new" ? null : new Error("the token has expired"));
  open({ token: ({ refresh }) => (asked.push(refresh), refresh ? "new" : "old") });
  await until(isLive, 4000);
  expect(asked).toEqual([false, true]);
});

test("what is asked for while the server is away is subscribed when it is back", async () => {
  const realtime = open();
  await until(isLive);
  const back = await backend.goAway();
  realtime.watch(["late"]);
  await back();
  await until(() => isLive() && known("late"), 6000);
});

test("500 projects with 200 updates a second: each frame shows each project once", async () => {
  const ids = Array.from({ length: 500 }, (_, i) => `x${i}`);
  open().watch(ids);
  await until(() => isLive() && known("x499"));
  let told = 0;
  for (const id of ids) session.store.subscribe(id, () => told++);
  for (let i = 0; i < 200; i++) backend.others(`x${i % 50}`);
  await until(() => session.store.get("x49").version === 9);
  expect(told).toBeGreaterThanOrEqual(50);
  expect(told).toBeLessThanOrEqual(200);
});
