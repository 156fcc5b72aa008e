// votes.test.ts - a session without a framework, against real servers. SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { createSession, type Session } from "../src/session.js";
import { openSocket } from "../src/socket.js";
import type { Notice } from "../src/store.js";
import { aWhile, Backend, problem, until, type Reply } from "./backend.js";

let backend: Backend;
let session: Session;
let notices: Notice[];
const token = () => "t1";

function open({ isLive = true, settleMs = 60_000 } = {}): Session {
  const told: Notice[] = (notices = []); // a test's own: a vote may end after its test
  session = createSession({
    client: createClient({ baseUrl: backend.url, token, maxTries: 2 }),
    socket: isLive ? openSocket(backend.url, token) : null,
    settleMs,
    notify: (notice) => told.push(notice),
  });
  session.start();
  return session;
}

async function live(): Promise<Session> {
  open().realtime!.watch(["p1"]);
  await until(() => session.realtime!.status() === "live" && session.store.get("p1").known);
  await session.votes.load(["p1"]);
  return session;
}

const shown = (project_id = "p1") => {
  const { upvotes, downvotes, user_vote, pending } = session.store.get(project_id);
  return { upvotes, downvotes, user_vote, pending };
};
const settled = () => until(() => !session.store.get("p1").pending);
const sent = () => backend.posts().map((asked) => asked.body.vote_type);

beforeEach(async () => {
  backend = await new Backend().start();
});
afterEach(async () => {
  session?.stop();
  await backend.stop();
});

test("a click is shown at once, accepted, committed and announced", async () => {
  const { votes, store } = await live();
  votes.click("p1", "up");
  expect(shown()).toEqual({ upvotes: 11, downvotes: 2, user_vote: "up", pending: true });
  await until(() => store.activities()[0]?.state === "accepted");
  backend.commit();
  await settled();
  expect(shown()).toEqual({ upvotes: 11, downvotes: 2, user_vote: "up", pending: false });
  expect(store.activities()[0]).toMatchObject({ state: "committed", request_id: "request-1" });
});

test.each(["own first", "public first"] as const)("a count does not jump while a commit is told, %s", async (tell) => {
  const { votes, store } = await live();
  votes.click("p1", "up");
  await until(() => store.activities()[0]?.state === "accepted");
  const seen = new Set<number>();
  store.subscribe("p1", () => seen.add(store.get("p1").upvotes));
  backend.commit(undefined, { tell });
  await settled();
  await aWhile();
  expect([...seen]).toEqual([11]);
});

test("a storm of 51 clicks ends at the last, with few requests, one at a time", async () => {
  const { votes } = await live();
  let open = 0, most = 0;
  backend.before = async () => {
    most = Math.max(most, ++open);
    await aWhile(20);
    open--;
    return null;
  };
  for (let i = 0; i < 51; i++) votes.click("p1", "up");
  votes.click("p1", "down");
  expect(shown()).toMatchObject({ upvotes: 10, downvotes: 3, user_vote: "down" });
  await until(() => backend.accepted.at(-1)?.vote_type === "down");
  expect(sent()).toEqual(["up", "down"]);
  expect(most).toBe(1);
  backend.commit();
  backend.commit();
  await settled();
  expect(shown()).toMatchObject({ upvotes: 10, downvotes: 3, user_vote: "down" });
});

test("a double click takes the vote back", async () => {
  const { votes } = await live();
  votes.click("p1", "up");
  votes.click("p1", "up");
  expect(shown()).toMatchObject({ upvotes: 10, user_vote: null });
  await until(() => backend.accepted.length === 2);
  backend.commit();
  backend.commit();
  await settled();
  expect(backend.row("p1")).toMatchObject({ upvotes: 10, vote: null });
});

test("projects do not wait for each other", async () => {
  const { votes } = await live();
  backend.before = async ({ body }) => (body?.project_id === "p1" ? (await aWhile(), null) : null);
  votes.click("p1", "up");
  votes.click("p2", "up");
  await until(() => backend.accepted.length === 1);
  expect(backend.accepted[0]!.project_id).toBe("p2");
});

test("a vote that the server refuses is rolled back, and told", async () => {
  const { votes } = await live();
  backend.before = ({ method }) => (method === "POST" ? problem(404, "unknown-project") : null);
  votes.click("p1", "up");
  await settled();
  expect(shown()).toMatchObject({ upvotes: 10, user_vote: null });
  expect(notices).toMatchObject([{ kind: "rejected", project_id: "p1", vote_type: "up", problem: { kind: "not-found" } }]);
});

test("a vote that fails in its commit is rolled back, and told", async () => {
  const { votes, store } = await live();
  votes.click("p1", "up");
  await until(() => store.activities()[0]?.state === "accepted");
  backend.fail();
  await settled();
  expect(shown()).toMatchObject({ upvotes: 10, user_vote: null });
  expect(notices).toMatchObject([{ kind: "failed", reason: "it is refused", user_vote: null }]);
  expect(store.activities()[0]).toMatchObject({ state: "failed", reason: "it is refused" });
});

test("a correction is told, and authoritative counts are fetched", async () => {
  const { votes, store } = await live();
  votes.click("p1", "up");
  await until(() => store.activities()[0]?.state === "accepted");
  const before = backend.asked.length;
  backend.reconcile();
  await settled();
  expect(notices).toMatchObject([{ kind: "reconciled", project_id: "p1", user_vote: "up", reason: "the vote before was another" }]);
  await until(() => backend.asked.length === before + 2);
  expect(backend.asked.slice(before).map((asked) => asked.path).sort())
    .toEqual(["/api/projects/p1", "/api/votes/user?limit=100&project_ids=p1"]);
});

test("over the limit, the newest click is kept and sent when the server allows it", async () => {
  const { votes } = await live();
  const replies: (Reply | null)[] = [problem(429, "too-many-requests", { "Retry-After": "1" })];
  backend.before = ({ method }) => (method === "POST" ? (replies.shift() ?? null) : null);
  const start = Date.now();
  votes.click("p1", "up");
  await until(() => notices.length === 1);
  votes.set("p1", "down");
  votes.click("p2", "up");
  expect(shown()).toMatchObject({ user_vote: "down", downvotes: 3 });
  await until(() => backend.accepted.length === 2);
  expect(Date.now() - start).toBeGreaterThanOrEqual(1000);
  expect(sent()).toEqual(["up", "down", "up"]);
  expect(notices).toMatchObject([{ kind: "waiting", project_id: "p1", retryAfterMs: 1000 }]);
});

test("a limit that lasts too long rolls back with the reason", async () => {
  const { votes } = await live();
  backend.before = ({ method }) => (method === "POST" ? problem(429, "too-many-requests", { "Retry-After": "60" }) : null);
  votes.click("p1", "up");
  await settled();
  expect(shown()).toMatchObject({ upvotes: 10, user_vote: null });
  expect(notices).toMatchObject([{ kind: "rejected", problem: { kind: "rate-limited", retryAfterMs: 60_000 } }]);
});

test("when nobody knows whether a vote arrived, the truth is asked for", async () => {
  const { votes } = await live();
  backend.before = ({ method }) => {
    if (method !== "POST") return null;
    backend.row("p1").shown = "up"; // it did, but its answer was lost
    return "hang up";
  };
  votes.click("p1", "up");
  await until(() => notices.length === 1);
  await until(() => session.store.get("p1").user_vote === "up");
});

test("without a socket, a request's end is asked for", async () => {
  open({ isLive: false, settleMs: 200 }).votes.set("p1", "up");
  await until(() => backend.accepted.length === 1);
  backend.commit(undefined, { tell: "nobody" });
  await until(() => !session.store.get("p1").pending, 5000);
  expect(session.store.activities()[0]).toMatchObject({ state: "committed" });
  expect(shown()).toMatchObject({ upvotes: 11, user_vote: "up" });
});

test("a commit that was told while the page was away is found when it is back", async () => {
  const { votes, store } = await live();
  votes.click("p1", "up");
  await until(() => store.activities()[0]?.state === "accepted");
  const back = await backend.goAway();
  await until(() => session.realtime!.status() === "reconnecting");
  backend.commit(undefined, { tell: "nobody" });
  await back();
  await until(() => !store.get("p1").pending, 6000);
  expect(shown()).toMatchObject({ upvotes: 11, user_vote: "up" });
});

test("own votes are asked for together, a hundred at a time", async () => {
  const { votes } = open({ isLive: false });
  backend.row("x7").shown = "down";
  const ids = Array.from({ length: 150 }, (_, i) => `x${i}`);
  await Promise.all(ids.map((id) => votes.load([id])));
  expect(backend.asked).toHaveLength(2);
  expect(shown("x7").user_vote).toBe("down");
  expect(shown("x8").user_vote).toBeNull();
});
