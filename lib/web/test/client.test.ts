// client.test.ts - the API client against a server on loopback. SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient, type Problem, type Result } from "../src/client.js";
import { Backend, problem, type Reply } from "./backend.js";

let backend: Backend;
beforeEach(async () => {
  backend = await new Backend().start();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await backend.stop();
});

const token = () => "t1";
const open = (options = {}) => createClient({ baseUrl: backend.url, token, ...options });

/** The server says these one after the other, then answers as it does. */
function script(...replies: (Reply | "hang up" | null)[]): void {
  backend.before = () => replies.shift() ?? null;
}

function failure(result: Result<unknown> | { ok: boolean; problem?: Problem }): Problem {
  if (!("problem" in result) || !result.problem) throw new Error("the call went well");
  return result.problem;
}

test("a vote is posted with its token, an idempotency key and toggle false", async () => {
  const result = await open().vote("p1", "up", { variant: "a" });
  expect(result).toMatchObject({ ok: true, status: 202, data: { id: "p1", user_vote: "up", action: "created" } });
  const { headers, body } = backend.asked[0]!;
  expect(body).toEqual({ project_id: "p1", vote_type: "up", toggle: false, variant: "a" });
  expect(headers).toMatchObject({ authorization: "Bearer t1", "content-type": "application/json" });
  expect(headers["idempotency-key"]).toMatch(/^[0-9a-f]{32}$/);
});

test("a retry has the key of its click, another click another key", async () => {
  script("hang up", problem(503, "temporary-reduced-capacity"), null);
  const client = open();
  await client.vote("p1", "up");
  await client.vote("p1", "down");
  const keys = backend.asked.map((asked) => asked.headers["idempotency-key"]);
  expect(keys).toHaveLength(4);
  expect(new Set(keys.slice(0, 3)).size).toBe(1);
  expect(keys[3]).not.toBe(keys[0]);
});

test("a retry comes no earlier than Retry-After asks", async () => {
  script(problem(429, "too-many-requests", { "Retry-After": "1" }));
  const start = Date.now();
  expect((await open().vote("p1", "up")).ok).toBe(true);
  expect(Date.now() - start).toBeGreaterThanOrEqual(1000);
});

test("Retry-After may be a date", async () => {
  script(problem(503, "temporary-reduced-capacity", { "Retry-After": new Date(Date.now() + 60_000).toUTCString() }));
  const said = failure(await open().metrics());
  expect(said.kind === "unavailable" && said.retryAfterMs! > 50_000).toBe(true);
});

test("a longer Retry-After than the caller waits is told at once", async () => {
  script(problem(429, "too-many-requests", { "Retry-After": "60" }));
  expect(failure(await open().vote("p1", "up"))).toMatchObject({ kind: "rate-limited", status: 429, retryAfterMs: 60_000 });
  expect(backend.asked).toHaveLength(1);
});

test("retries are bounded", async () => {
  backend.before = () => problem(503, "temporary-reduced-capacity");
  expect(failure(await open({ maxTries: 3 }).vote("p1", "up")).kind).toBe("unavailable");
  expect(backend.asked).toHaveLength(3);
});

test("waits grow and are jittered", async () => {
  const waits: number[] = [];
  const timer = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms = 0) => {
    const isWait = ms > 60 && ms < 2500; // no try's clock, and none of the server's
    if (isWait) waits.push(ms);
    return timer(run, isWait ? 0 : ms);
  }) as typeof setTimeout);
  backend.before = () => "hang up";
  await open({ maxTries: 4 }).metrics();
  await open({ maxTries: 4 }).metrics();
  expect(waits).toHaveLength(6);
  expect(waits[2]!).toBeGreaterThan(waits[0]!);
  expect(waits.slice(0, 3)).not.toEqual(waits.slice(3));
});

test("a caller's retry function ends the call", async () => {
  script(problem(429, "too-many-requests", { "Retry-After": "1" }));
  const result = await open().vote("p1", "up", { retry: ({ kind }) => kind !== "rate-limited" });
  expect(failure(result).kind).toBe("rate-limited");
});

test("a signal ends the wait for a retry", async () => {
  script(problem(503, "temporary-reduced-capacity", { "Retry-After": "9" }));
  const ender = new AbortController();
  const calling = open().vote("p1", "up", { signal: ender.signal, retry: () => (setTimeout(() => ender.abort(), 20), true) });
  expect(failure(await calling).kind).toBe("aborted");
  expect(backend.asked).toHaveLength(1);
});

test("a signal ends a call that is under way, and one that has not begun", async () => {
  const ender = new AbortController();
  backend.before = () => new Promise(() => ender.abort());
  expect(failure(await open().metrics({ signal: ender.signal })).kind).toBe("aborted");
  expect(failure(await open().metrics({ signal: ender.signal })).kind).toBe("aborted");
  expect(backend.asked).toHaveLength(1);
});

test("a server that does not answer is a timeout, and tried again", async () => {
  backend.before = () => new Promise(() => {});
  expect(failure(await open({ timeoutMs: 50, maxTries: 2 }).metrics()).kind).toBe("timeout");
  expect(backend.asked).toHaveLength(2);
});

test("a server that is not there is a value", async () => {
  const { url } = backend;
  await backend.stop();
  const said = failure(await createClient({ baseUrl: url, maxTries: 2 }).metrics());
  expect(said).toMatchObject({ kind: "network", status: 0 });
  await backend.start();
});

test("a 401 asks the provider once more, and the vote goes with the new token", async () => {
  const asked: boolean[] = [];
  const provider = async ({ refresh }: { refresh: boolean }) => (asked.push(refresh), refresh ? "new" : "old");
  backend.before = ({ headers }) => (headers.authorization === "Bearer new" ? null : problem(401, "unauthorized"));
  const client = open({ token: provider });
  expect((await client.vote("p1", "up")).ok).toBe(true);
  expect((await client.vote("p1", "none")).ok).toBe(true);
  expect(asked).toEqual([false, true]);
  expect(backend.asked[0]!.headers["idempotency-key"]).toBe(backend.asked[1]!.headers["idempotency-key"]);
});

test("a second 401 is the answer", async () => {
  backend.before = () => problem(401, "unauthorized");
  expect(failure(await open().vote("p1", "up")).kind).toBe("unauthorized");
  expect(backend.asked).toHaveLength(2);
});

test("calls at the same time ask the provider once", async () => {
  const provider = vi.fn(async () => "t1");
  const client = open({ token: provider });
  await Promise.all([client.vote("p1", "up"), client.project("p1"), client.vote("p2", "up")]);
  expect(provider).toHaveBeenCalledTimes(1);
});

test("a provider that fails is a value, and asked again by the next call", async () => {
  const provider = vi.fn(() => "t1").mockImplementationOnce(() => {
    throw new Error("logged out");
  });
  const client = open({ token: provider });
  expect(failure(await client.vote("p1", "up"))).toMatchObject({ kind: "token", cause: new Error("logged out") });
  expect((await client.vote("p1", "up")).ok).toBe(true);
});

test.each([
  [400, "malformed"], [401, "unauthorized"], [403, "forbidden"], [404, "not-found"], [413, "too-large"],
  [415, "not-json"], [422, "key-reused"], [500, "unexpected"],
] as const)("a %i is a problem of the kind %s, and not tried again", async (status, kind) => {
  backend.before = () => problem(status, "x");
  expect(failure(await open().vote("p1", "up"))).toMatchObject({ kind, status, detail: "it is x", request_id: "r" });
  expect(backend.asked).toHaveLength(status === 401 ? 2 : 1);
});

test("a malformed vote names its fields", async () => {
  const errors = [{ field: "project_id", detail: "is too long" }];
  script(problem(400, "malformed", {}, { errors }));
  const said = failure(await open().vote("p1", "up"));
  expect(said.kind === "malformed" && said.errors).toEqual(errors);
});

test("a first call that is in flight is waited for", async () => {
  script(problem(409, "idempotency-key-in-flight", { "Retry-After": "0" }));
  expect((await open().vote("p1", "up")).ok).toBe(true);
});

test.each([502, 504])("a gateway's %i is tried again", async (status) => {
  script({ status, body: "<html>", headers: { "Content-Type": "text/html" } });
  expect((await open().vote("p1", "up")).ok).toBe(true);
});

test.each(["<html>welcome to the portal", "null", "7"])("a 200 that is not of this API is a problem: %s", async (body) => {
  script({ status: 200, body, headers: { "Content-Type": "text/html" } });
  expect(failure(await open().metrics())).toMatchObject({ kind: "unexpected", status: 200 });
});

test("a project is asked for with its ETag", async () => {
  const client = open();
  expect(await client.project("p1")).toMatchObject({ ok: true, notModified: false, data: { version: 5 } });
  expect(await client.project("p1")).toMatchObject({ ok: true, notModified: true, data: { version: 5 } });
  backend.row("p1").version = 6;
  expect(await client.project("p1")).toMatchObject({ ok: true, notModified: false, data: { version: 6 } });
  expect(backend.asked.map((asked) => asked.headers["if-none-match"])).toEqual([undefined, '"v5"', '"v5"']);
});

test("the user's votes are asked for by page and by project", async () => {
  backend.row("p2").shown = "down";
  const result = await open().userVotes({ limit: 5, cursor: "c", projectIds: ["p1", "p2"] });
  expect(result.ok && result.data.votes).toMatchObject([{ project_id: "p2", vote_type: "down" }]);
  expect(backend.asked[0]!.path).toBe("/api/votes/user?limit=5&cursor=c&project_ids=p1%2Cp2");
});

test("status, metrics and leaderboard give their data", async () => {
  const projects = [{ project_id: "p1", upvotes: 1, downvotes: 0, voteCount: 1, community_score: 0.2, version: 1 }];
  backend.before = ({ path }) =>
    path.startsWith("/api/leaderboard") ? { status: 200, body: { status: "success", data: { projects } } }
    : path === "/api/votes/metrics" ? { status: 200, body: { total_votes: 7 } }
    : null;
  const client = open();
  const vote = await client.vote("p1", "up");
  const id = vote.ok ? vote.data.request_id : "";
  expect(await client.status(id)).toMatchObject({ ok: true, data: { state: "pending" } });
  expect(await client.metrics()).toMatchObject({ ok: true, data: { total_votes: 7 } });
  expect(await client.leaderboard(3)).toMatchObject({ ok: true, data: projects });
  expect(backend.asked.at(-1)!.path).toBe("/api/leaderboard?limit=3");
});

test("an id is quoted in a path", async () => {
  await open().project("a/b?c");
  expect(backend.asked[0]!.path).toBe("/api/projects/a%2Fb%3Fc");
});
