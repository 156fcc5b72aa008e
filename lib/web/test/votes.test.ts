// votes.test.ts - clicks, commits and other people's votes meeting in the store. SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { VoteCaster, type Notice } from "../src/caster.js";
import { createVoteClient } from "../src/client.js";
import { LiveUpdates } from "../src/live.js";
import { VoteStore } from "../src/store.js";
import { accepted, problem, TestServer, until } from "./server.js";

const counts = (upvotes: number, version: number, downvotes = 0) => ({ upvotes, downvotes, community_score: 0.5, version });
const event = (id: string, upvotes: number, version: number, own = {}) =>
  ({ project_id: id, ...counts(upvotes, version), action: "created", coalesced: 1, committed_at: "2026-11-23T18:03:39.594Z", ...own });

let server: TestServer;
let store: VoteStore;
let caster: VoteCaster;
let live: LiveUpdates | undefined;
let notices: Notice[];

beforeEach(async () => {
  server = await new TestServer().start();
  store = new VoteStore();
  notices = [];
  const client = createVoteClient({ baseUrl: server.url, token: () => "t", retries: 0 });
  caster = new VoteCaster({ client, store, notify: (notice) => notices.push(notice), patienceMs: 150 });
});
afterEach(async () => {
  live?.close();
  live = undefined;
  caster.forgetUser();
  await server.stop();
});

async function connect(...ids: string[]) {
  live = new LiveUpdates({ url: server.url, store, caster, token: () => "t", notify: (notice) => notices.push(notice), transports: ["websocket"] });
  live.watch(ids);
  await until(() => ids.every((id) => store.get(id).known));
}

// --- The store

test("a click shows at once, and its commit changes nothing", () => {
  store.setCounts("p", counts(5, 1));
  store.want("p", "up");
  expect(store.get("p")).toMatchObject({ upvotes: 6, voteCount: 6, userVote: "up" });
  store.setSettled("p", counts(6, 2), "up", "r1");
  expect(store.get("p")).toMatchObject({ upvotes: 6, userVote: "up", version: 2 });
});

test("somebody else's vote moves the number under a click of one's own", () => {
  store.setCounts("p", counts(5, 1));
  store.want("p", "down");
  store.setCounts("p", counts(6, 2));
  expect(store.get("p")).toMatchObject({ upvotes: 6, downvotes: 1, voteCount: 5 });
});

test("what is older is dropped", () => {
  expect(store.setCounts("p", counts(5, 3))).toBe(true);
  expect(store.setCounts("p", counts(4, 2))).toBe(false);
  store.setSettled("p", counts(4, 2), "up");
  expect(store.get("p")).toMatchObject({ version: 3, upvotes: 4 }); // the vote that the five hold is known now, and not wanted
});

test("the own votes of a page that opens are in the counts already", () => {
  store.setCounts("p", counts(5, 1));
  store.setOwn("p", "up");
  expect(store.get("p")).toMatchObject({ upvotes: 5, userVote: "up" });
  store.want("p", null);
  store.setOwn("p", "up"); // asked for before the click
  expect(store.get("p")).toMatchObject({ upvotes: 4, userVote: null });
});

test("who looks is told of changes, and of nothing else", () => {
  const seen = vi.fn();
  const end = store.subscribe("p", seen);
  store.setCounts("p", counts(5, 1));
  store.setCounts("p", counts(5, 1));
  store.setCounts("q", counts(9, 1));
  expect(seen).toHaveBeenCalledTimes(1);
  end();
  store.setCounts("p", counts(6, 2));
  expect(seen).toHaveBeenCalledTimes(1);
});

// --- Clicks

test("a press is shown before it is sent, and pressed again it is taken back", async () => {
  server.answer = ({ body }) => accepted("p", body.vote_type, `r${server.calls.length}`);
  const first = caster.press("p", "up");
  expect(store.get("p").userVote).toBe("up");
  await first;
  await caster.press("p", "up");
  expect(server.calls.map((call) => call.body.vote_type)).toEqual(["up", "none"]);
  expect(server.calls.every((call) => call.body.toggle === false)).toBe(true);
});

test("of many rapid clicks the last one wins, with one call on its way at a time", async () => {
  let open = 0, most = 0;
  server.answer = async ({ body }) => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setTimeout(resolve, 20));
    open--;
    return accepted("p", body.vote_type, `r${server.calls.length}`);
  };
  const done = Array.from({ length: 50 }, (_, i) => caster.press("p", i % 3 === 2 ? "down" : "up"));
  await Promise.all(done);
  expect(most).toBe(1);
  expect(server.calls.length).toBeLessThan(5);
  expect(server.calls.at(-1)?.body.vote_type).toBe(store.get("p").userVote ?? "none");
});

test("a refused click goes back and says why", async () => {
  server.answer = () => problem(429, "30 votes in 10 s");
  store.setCounts("p", counts(5, 1));
  await caster.press("p", "up");
  expect(store.get("p")).toMatchObject({ upvotes: 5, userVote: null });
  expect(notices).toMatchObject([{ kind: "refused", projectId: "p", problem: { status: 429, detail: "30 votes in 10 s" } }]);
});

test("a refused click does not undo a newer one", async () => {
  const answers = [problem(503), accepted("p", "down", "r2")];
  server.answer = () => ({ ...answers.shift(), delayMs: 30 });
  const first = caster.press("p", "up");
  await until(() => server.calls.length === 1);
  await Promise.all([caster.press("p", "down"), first]);
  expect(store.get("p").userVote).toBe("down");
  expect(notices).toEqual([]);
});

test("without announcements the status is asked for, and the counts read again", async () => {
  const data = { id: "p", project_id: "p", ...counts(1, 4), voteCount: 1 };
  const states = ["pending", "committed"];
  server.answer = ({ method, path }) => {
    if (method === "POST") return accepted("p", "up", "r1");
    if (path.includes("/status/")) return { body: { data: { state: states.shift(), committed_at: "2026-11-23T18:03:39.594Z", error: null } } };
    if (path.includes("/user")) return { body: { data: { votes: [{ project_id: "p", vote_type: "up", updated_at: "" }], next_cursor: null } } };
    return { body: { data } };
  };
  await caster.press("p", "up");
  expect(store.get("p").pending).toBe(1);
  await until(() => store.get("p").pending === 0 && store.get("p").version === 4);
  expect(store.get("p")).toMatchObject({ upvotes: 1, userVote: "up" });
  expect(caster.activity).toMatchObject([{ requestId: "r1", state: "committed", committedAt: Date.parse("2026-11-23T18:03:39.594Z") }]);
});

test("a status that says failed takes the click back", async () => {
  server.answer = ({ method }) => (method === "POST" ? accepted("p", "up", "r1") : { body: { data: { state: "failed", error: "check constraint" } } });
  await caster.press("p", "up");
  await until(() => notices.length === 1);
  expect(notices).toMatchObject([{ kind: "failed", reason: "check constraint" }]);
  expect(store.get("p").userVote).toBe(null);
});

test("another user has other votes, and late answers are not theirs", async () => {
  server.answer = () => ({ ...accepted("p", "up", "r1"), delayMs: 50 });
  const press = caster.press("p", "up");
  caster.forgetUser();
  await press;
  expect(store.get("p")).toMatchObject({ userVote: null, pending: 0 });
  expect(caster.activity).toEqual([]);
});

// --- Live

test("what is watched is subscribed, and its counts come", async () => {
  server.counts = () => counts(7, 2);
  await connect("a", "b");
  expect(live?.status).toBe("live");
  expect(store.get("a").upvotes).toBe(7);
  expect(server.subscribed).toEqual([["a", "b"]]);
  server.io.emit("vote:cast", event("a", 8, 3));
  server.io.emit("vote:removed", event("a", 6, 5));
  server.io.emit("vote:cast", event("a", 7, 4));
  await until(() => store.get("a").version === 5);
  expect(store.get("a").upvotes).toBe(6);
});

test("a project is subscribed once however often it is shown, and left with its last card", async () => {
  server.counts = () => counts(1, 1);
  await connect("a");
  const end = [live!.watch(["a"]), live!.watch(["a", "b"])];
  await until(() => store.get("b").known);
  expect(server.subscribed).toEqual([["a"], ["b"]]);
  const left = new Promise((resolve) => [...server.io.sockets.sockets.values()][0]?.once("unsubscribe", resolve));
  end.forEach((stop) => stop());
  expect(await left).toEqual({ project_ids: ["b"] });
});

test("many projects are asked for in parts", async () => {
  server.counts = () => counts(1, 1);
  await connect(...Array.from({ length: 250 }, (_, i) => `p${i}`));
  expect(server.subscribed.map((ids) => ids.length)).toEqual([100, 100, 50]);
});

test("a burst of events is one change before the next frame", async () => {
  server.counts = () => counts(0, 0);
  await connect("a");
  const seen = vi.fn();
  store.subscribe("a", seen);
  for (let i = 1; i <= 50; i++) server.io.emit("vote:cast", event("a", i, i));
  await until(() => store.get("a").version === 50);
  expect(seen.mock.calls.length).toBeLessThan(10);
});

test("one's own commit ends the waiting", async () => {
  server.counts = () => counts(3, 1);
  server.answer = () => accepted("p", "up", "r1");
  await connect("p");
  await caster.press("p", "up");
  expect(store.get("p")).toMatchObject({ upvotes: 4, pending: 1 });
  server.io.emit("vote:cast", event("p", 4, 2, { request_id: "r1", user_vote: "up" }));
  await until(() => store.get("p").pending === 0);
  expect(store.get("p")).toMatchObject({ upvotes: 4, userVote: "up", version: 2 });
  expect(caster.activity[0]).toMatchObject({ state: "committed" });
});

test("an outcome may come before the answer to its click", async () => {
  server.counts = () => counts(3, 1);
  server.answer = () => ({ ...accepted("p", "up", "r1"), delayMs: 100 });
  await connect("p");
  const press = caster.press("p", "up");
  server.io.emit("vote:cast", event("p", 4, 2, { request_id: "r1", user_vote: "up" }));
  await press;
  expect(store.get("p")).toMatchObject({ upvotes: 4, userVote: "up", version: 2, pending: 0 });
  expect(caster.activity).toMatchObject([{ requestId: "r1", state: "committed" }]);
  expect(server.calls).toHaveLength(1); // its status need not be asked for
});

test("a failure that comes before the answer goes back as well", async () => {
  server.counts = () => counts(3, 1);
  server.answer = () => ({ ...accepted("p", "up", "r1"), delayMs: 100 });
  await connect("p");
  const press = caster.press("p", "up");
  server.io.emit("vote:failed", { request_id: "r1", project_id: "p", reason: "refused", user_vote: null });
  await press;
  expect(store.get("p")).toMatchObject({ upvotes: 3, userVote: null, pending: 0 });
  expect(notices).toHaveLength(1);
});

test("a vote that failed goes back with a word", async () => {
  server.counts = () => counts(3, 1);
  server.answer = () => accepted("p", "up", "r1");
  await connect("p");
  await caster.press("p", "up");
  server.io.emit("vote:failed", { request_id: "r1", project_id: "p", reason: "refused", user_vote: null });
  await until(() => notices.length === 1);
  expect(notices).toEqual([{ kind: "failed", projectId: "p", reason: "refused" }]);
  expect(store.get("p")).toMatchObject({ upvotes: 3, userVote: null, pending: 0 });
});

test("a reconciled vote shows what stands, says so, and the counts are read again", async () => {
  server.counts = () => counts(3, 1);
  server.answer = ({ method, path }) => {
    if (method === "POST") return accepted("p", "up", "r1");
    if (path.includes("/user")) return { body: { data: { votes: [{ project_id: "p", vote_type: "up", updated_at: "" }], next_cursor: null } } };
    return { body: { data: { id: "p", project_id: "p", ...counts(9, 6), voteCount: 9 } } };
  };
  await connect("p");
  await caster.press("p", "up");
  server.io.emit("vote:reconciled", event("p", 4, 2, { request_id: "r1", user_vote: "up", reason: "the row was another" }));
  await until(() => store.get("p").version === 6);
  expect(notices).toEqual([{ kind: "reconciled", projectId: "p", reason: "the row was another" }]);
  expect(store.get("p")).toMatchObject({ upvotes: 9, userVote: "up", pending: 0 });
});

test("an outcome of an old click does not undo a newer one", async () => {
  server.counts = () => counts(3, 1);
  server.answer = () => accepted("p", "x", `r${server.calls.length}`);
  await connect("p");
  await caster.press("p", "up");
  await caster.press("p", "down");
  server.io.emit("vote:failed", { request_id: "r1", project_id: "p", reason: "refused", user_vote: null });
  await until(() => notices.length === 1);
  expect(store.get("p").userVote).toBe("down");
});

test("after a reconnect all is subscribed again", async () => {
  server.counts = () => counts(3, 1);
  await connect("a", "b");
  const states: string[] = [];
  live!.onStatus(() => states.push(live!.status));
  server.counts = () => counts(8, 9);
  server.io.disconnectSockets(true);
  await until(() => store.get("b").version === 9);
  expect(states).toEqual(["reconnecting", "live"]);
});
