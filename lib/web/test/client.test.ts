// client.test.ts - the client against a server that misbehaves as servers do. SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createVoteClient, parseRetryAfter } from "../src/client.js";
import { accepted, problem, TestServer } from "./server.js";

let server: TestServer;
beforeEach(async () => void (server = await new TestServer().start()));
afterEach(() => server.stop());
const client = (options = {}) => createVoteClient({ baseUrl: server.url, token: () => "t1", ...options });

test("the types are those of the OpenAPI document", () => {
  const made = mkdtempSync(tmpdir() + "/openapi-") + "/openapi.ts";
  execFileSync("npx", ["openapi-typescript", "../../pipelines/openapi.json", "-o", made], { stdio: "pipe" });
  expect(readFileSync("src/openapi.ts", "utf8")).toBe(readFileSync(made, "utf8"));
});

test("a vote carries the token, the body and a key of its own", async () => {
  server.answer = () => accepted("p1", "up", "r1");
  const result = await client().vote("p1", "up", { variant: "blue" });
  expect(result).toMatchObject({ ok: true, replayed: false, data: { request_id: "r1", user_vote: "up" } });
  const [call] = server.calls;
  expect(call).toMatchObject({ method: "POST", path: "/api/votes", body: { project_id: "p1", vote_type: "up", toggle: true, variant: "blue" } });
  expect(call?.headers.authorization).toBe("Bearer t1");
  await client().vote("p1", "up");
  expect(server.calls[1]?.headers["idempotency-key"]).not.toBe(call?.headers["idempotency-key"]);
});

test("all tries of a click have the same key, and wait as the server asks", async () => {
  const answers = [problem(503, "full", { "Retry-After": "0" }), { destroy: true }, problem(429, "slow", { "Retry-After": "1" }),
    { ...accepted("p1", "up", "r1"), headers: { "Idempotent-Replayed": "true" } }];
  server.answer = () => answers.shift() ?? problem(500);
  const from = Date.now();
  const result = await client().vote("p1", "up");
  expect(result).toMatchObject({ ok: true, replayed: true });
  expect(new Set(server.calls.map((call) => call.headers["idempotency-key"])).size).toBe(1);
  expect(server.calls).toHaveLength(4);
  expect(Date.now() - from).toBeGreaterThanOrEqual(1000);
});

test("tries have an end, and a problem is a value", async () => {
  server.answer = () => problem(503, "away", { "Retry-After": "0" });
  expect(await client({ retries: 2 }).vote("p1", "up")).toMatchObject({ ok: false, problem: { status: 503, detail: "away" }, retryAfterMs: 0 });
  expect(server.calls).toHaveLength(3);
});

test("what another try cannot help is not tried again", async () => {
  server.answer = () => problem(404, "unknown project");
  expect(await client().vote("p1", "up")).toMatchObject({ ok: false, problem: { status: 404, detail: "unknown project" } });
  server.answer = () => problem(429, "tomorrow", { "Retry-After": "86400" });
  expect(await client().vote("p1", "up")).toMatchObject({ ok: false, retryAfterMs: 86_400_000 });
  expect(server.calls).toHaveLength(2);
});

test("a token that is over is asked for again, once", async () => {
  server.answer = (call) => (call.headers.authorization === "Bearer new" ? accepted("p1", "up", "r1") : problem(401));
  expect((await client({ token: async (again: boolean) => (again ? "new" : "old") }).vote("p1", "up")).ok).toBe(true);
  expect(await client().vote("p1", "up")).toMatchObject({ ok: false, problem: { status: 401 } });
  expect(server.calls).toHaveLength(4);
});

test("an answer that is no problem document is one all the same", async () => {
  server.answer = () => ({ status: 502, headers: { "Content-Type": "text/html" }, body: "<html>" });
  expect(await client().metrics()).toMatchObject({ ok: false, problem: { status: 502, type: "about:blank" } });
});

test("nobody there is a value as well", async () => {
  const away = createVoteClient({ baseUrl: "http://127.0.0.1:1", token: () => "t", retries: 0 });
  expect(await away.leaderboard()).toMatchObject({ ok: false, problem: { status: 0, title: "No answer" } });
  expect(await client({ token: () => Promise.reject(new Error("signed out")), retries: 0 }).metrics()).toMatchObject({ ok: false, problem: { detail: "signed out" } });
});

test("a call can be given up, also between two tries", async () => {
  const controller = new AbortController();
  server.answer = () => problem(503, "away", { "Retry-After": "10" });
  setTimeout(() => controller.abort(), 100);
  const from = Date.now();
  expect(await client().metrics({ signal: controller.signal })).toMatchObject({ ok: false, problem: { status: 0, title: "Aborted" } });
  expect(Date.now() - from).toBeLessThan(3000);
});

test("a project that has not changed is not sent again", async () => {
  const data = { id: "p1", project_id: "p1", upvotes: 3, downvotes: 1, voteCount: 2, community_score: 0.3, version: 7 };
  server.answer = (call) => (call.headers["if-none-match"] === '"v7"' ? { status: 304 } : { headers: { ETag: '"v7"' }, body: { status: "success", data } });
  const one = client();
  expect(await one.project("p1")).toMatchObject({ ok: true, data });
  expect(await one.project("p1")).toMatchObject({ ok: true, data });
  expect(server.calls[1]?.headers["if-none-match"]).toBe('"v7"');
});

test("the other calls say what they mean", async () => {
  server.answer = () => ({ body: { status: "success", data: { votes: [], next_cursor: null, projects: [] } } });
  await client().userVotes({ limit: 5, cursor: "c:d", projectIds: ["a", "b"] });
  await client().leaderboard(7);
  await client().status("r/1");
  expect(server.calls.map((call) => call.path)).toEqual(["/api/votes/user?limit=5&cursor=c%3Ad&project_ids=a%2Cb", "/api/leaderboard?limit=7", "/api/votes/status/r%2F1"]);
});

test("Retry-After is seconds or a date", () => {
  expect(parseRetryAfter("2")).toBe(2000);
  expect(parseRetryAfter(new Date(Date.now() + 5000).toUTCString())).toBeGreaterThan(3000);
  expect(parseRetryAfter("soon")).toBeUndefined();
  expect(parseRetryAfter(null)).toBeUndefined();
});
