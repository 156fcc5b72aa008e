// store.test.ts - what is shown, without a network. SPDX-License-Identifier: Apache-2.0
import { beforeEach, expect, test } from "vitest";
import { VoteStore, type Click } from "../src/store.js";
import type { Counts, OwnEvent, UserVote, VoteAnswer, VoteType } from "../src/types.js";

let frames: (() => void)[];
let store: VoteStore;
let shown: string[];
beforeEach(() => {
  frames = [];
  store = new VoteStore({ schedule: (run) => frames.push(run) });
  shown = [];
  store.subscribe("p", () => {
    const { upvotes, downvotes, user_vote } = store.get("p");
    shown.push(`${upvotes}/${downvotes} ${user_vote}`);
  });
});

const counts = (upvotes: number, version: number): Counts => ({
  upvotes, downvotes: 0, voteCount: upvotes, community_score: 0.5, version,
});
const frame = () => frames.splice(0).forEach((run) => run());
const snapshot = (upvotes: number, version: number) => store.applySnapshot([{ project_id: "p", ...counts(upvotes, version) }]);
const live = (upvotes: number, version: number) => store.applyLive({ project_id: "p", ...counts(upvotes, version) });
const votes = (vote: UserVote, mark = store.mark()) => store.setUserVotes(["p"], new Map([["p", vote]]), mark);

function own(request_id: string, upvotes: number, version: number, user_vote: UserVote, more = {}): OwnEvent {
  return { project_id: "p", ...counts(upvotes, version), request_id, user_vote, action: "created", coalesced: 1, committed_at: "then", ...more };
}

let keys = 0;
function send(vote_type: VoteType): Click {
  store.want("p", vote_type, `k${++keys}`);
  const click = store.next("p");
  if (!click) throw new Error("nothing to send");
  return click;
}

function accept(click: Click, request_id: string, action: VoteAnswer["action"] = "created"): void {
  const user_vote = click.vote_type === "none" ? null : click.vote_type;
  store.accept(click, { id: "p", upvotes: 0, downvotes: 0, voteCount: 0, user_vote, request_id, action });
}

test("a click is shown before anything is sent", () => {
  snapshot(10, 5);
  votes(null);
  shown = [];
  store.want("p", "up", "k");
  expect(shown).toEqual(["11/0 up"]);
  expect(store.get("p")).toMatchObject({ pending: true, voteCount: 11 });
});

test("the own event of a commit does not move what is shown", () => {
  snapshot(10, 5);
  accept(send("up"), "r1");
  shown = [];
  store.applyOwn(own("r1", 11, 6, "up"));
  expect(store.get("p")).toMatchObject({ upvotes: 11, user_vote: "up", pending: false, version: 6 });
  expect(new Set(shown)).toEqual(new Set(["11/0 up"]));
});

test.each(["own first", "public first"])("nothing flickers while a commit is told, %s", (order) => {
  snapshot(10, 5);
  const click = send("up");
  accept(click, "r1");
  shown = [];
  if (order === "own first") store.applyOwn(own("r1", 11, 6, "up"));
  live(11, 6);
  if (order === "public first") {
    frame(); // between the two
    store.applyOwn(own("r1", 11, 6, "up"));
  }
  frame();
  frame();
  expect(new Set(shown)).toEqual(new Set(["11/0 up"]));
});

test("other people's votes move the counts under a pending click", () => {
  snapshot(10, 5);
  send("up");
  live(14, 9);
  frame();
  frame();
  expect(store.get("p")).toMatchObject({ upvotes: 15, user_vote: "up" });
});

test("an own event that comes before its own answer leaves nothing pending", () => {
  snapshot(10, 5);
  const click = send("up");
  store.applyOwn(own("r1", 11, 6, "up"));
  accept(click, "r1");
  expect(store.get("p")).toMatchObject({ upvotes: 11, user_vote: "up", pending: false });
  expect(store.activities()[0]).toMatchObject({ state: "committed", request_id: "r1", committed_at: "then" });
});

test("a failure that comes before its own answer rolls back with the answer", () => {
  snapshot(10, 5);
  votes(null);
  const click = send("up");
  store.applyFailed({ project_id: "p", request_id: "r1", reason: "x", user_vote: null });
  accept(click, "r1");
  expect(store.get("p")).toMatchObject({ upvotes: 10, user_vote: null, pending: false });
});

test("a late answer does not overwrite a newer click", () => {
  snapshot(10, 5);
  const first = send("up");
  store.want("p", "down", "k2");
  accept(first, "r1");
  expect(store.get("p")).toMatchObject({ upvotes: 10, downvotes: 1, user_vote: "down" });
  store.applyOwn(own("r1", 11, 6, "up"));
  expect(store.get("p")).toMatchObject({ upvotes: 10, downvotes: 1, user_vote: "down" });
});

test("clicks while one is under way become one, the last", () => {
  const first = send("up");
  for (const vote of ["none", "up", "none", "down"] as const) store.want("p", vote, `k-${vote}-${++keys}`);
  expect(store.next("p")).toBeNull();
  accept(first, "r1");
  expect(store.next("p")).toMatchObject({ vote_type: "down" });
  expect(store.activities().map((activity) => activity.vote_type)).toEqual(["down", "up"]);
});

test("a click that only repeats what stands is not sent", () => {
  const first = send("up");
  store.want("p", "none", "k2");
  store.want("p", "up", "k3");
  accept(first, "r1");
  expect(store.next("p")).toBeNull();
  expect(store.get("p").user_vote).toBe("up");
});

test("after an unknown end, the same click is sent again", () => {
  votes(null);
  const click = send("up");
  store.reject(click, { kind: "network", status: 0, detail: "" }, true);
  store.want("p", "none", "k2");
  expect(store.next("p")).toMatchObject({ vote_type: "none" });
});

test("a refused click goes back to what stands", () => {
  snapshot(10, 5);
  votes("up");
  const click = send("none");
  expect(store.get("p")).toMatchObject({ upvotes: 9, user_vote: null });
  store.reject(click, { kind: "aborted", status: 0, detail: "no" }, false);
  expect(store.get("p")).toMatchObject({ upvotes: 10, user_vote: "up", pending: false });
  expect(store.activities()[0]).toMatchObject({ state: "failed", reason: "no" });
});

test("a click that comes too soon waits, and gives way to a newer one", () => {
  const first = send("up");
  store.retreat(first);
  expect(store.get("p").user_vote).toBe("up");
  store.want("p", "down", "k2");
  expect(store.next("p")).toMatchObject({ vote_type: "down", limited: 0 });
});

test("old versions are dropped, live and asked for", () => {
  snapshot(10, 5);
  live(12, 7);
  live(11, 6);
  frame();
  snapshot(10, 5);
  expect(store.get("p")).toMatchObject({ upvotes: 12, version: 7 });
});

test("a frame shows many updates of a project as one", () => {
  snapshot(10, 5);
  shown = [];
  for (let version = 6; version < 206; version++) live(version, version);
  frame();
  expect(shown).toEqual(["205/0 undefined"]);
});

test("an update of one project is nothing to another", () => {
  let told = 0;
  store.subscribe("q", () => told++);
  const before = store.get("q");
  live(11, 6);
  frame();
  expect([told, store.get("q") === before]).toEqual([0, true]);
});

test("counts that are asked for wait for the end of a click", () => {
  snapshot(10, 5);
  const click = send("up");
  snapshot(11, 6); // with the click in it or without: nobody knows
  expect(store.get("p").upvotes).toBe(11);
  accept(click, "r1");
  store.applyOwn(own("r1", 11, 6, "up"));
  expect(store.get("p")).toMatchObject({ upvotes: 11, version: 6 });
});

test("counts that waited are shown when the click has failed", () => {
  snapshot(10, 5);
  votes(null);
  accept(send("up"), "r1");
  snapshot(20, 9);
  store.applyFailed({ project_id: "p", request_id: "r1", reason: "x", user_vote: null });
  expect(store.get("p")).toMatchObject({ upvotes: 20, version: 9, user_vote: null });
});

test("own votes that were asked for before a click do not undo it", () => {
  snapshot(10, 5);
  const mark = store.mark();
  accept(send("up"), "r1");
  store.applyOwn(own("r1", 11, 6, "up"));
  votes(null, mark);
  expect(store.get("p")).toMatchObject({ upvotes: 11, user_vote: "up" });
});

test("a vote of the same user on another page is taken over", () => {
  snapshot(10, 5);
  votes(null);
  store.applyOwn(own("elsewhere", 11, 6, "up"));
  expect(store.get("p")).toMatchObject({ upvotes: 11, user_vote: "up", pending: false });
});

test("an answer tells what the vote was before, when that was not known", () => {
  snapshot(10, 5);
  accept(send("up"), "r1", "unchanged");
  expect(store.get("p")).toMatchObject({ upvotes: 10, user_vote: "up" });
});

test("the commit of a newer request stands for those before it", () => {
  accept(send("up"), "r1");
  accept(send("down"), "r2");
  store.applyOwn(own("r2", 10, 7, "down"));
  expect(store.get("p")).toMatchObject({ pending: false, user_vote: "down" });
});

test("the activity tells a request's life", () => {
  const click = send("up");
  expect(store.activities()[0]).toMatchObject({ state: "sending", request_id: null, accepted_at: null });
  accept(click, "r1");
  expect(store.activities()[0]).toMatchObject({ state: "accepted", request_id: "r1" });
  store.applyOwn(own("r1", 11, 6, "up", { reason: "was another" }));
  const [{ announced_at, accepted_at, clicked_at, ...rest }] = store.activities() as [any];
  expect(rest).toMatchObject({ state: "reconciled", reason: "was another" });
  expect(clicked_at <= accepted_at && accepted_at <= announced_at).toBe(true);
});

test("listeners hear of the activity once, when it is its turn", () => {
  const turns: (() => void)[] = [];
  const told: (string | undefined)[] = [];
  store = new VoteStore({ scheduleActivities: (run) => turns.push(run) });
  store.subscribeActivities(() => told.push(store.activities()[0]?.state));
  accept(send("up"), "r1");
  expect(told).toEqual([]);
  for (const turn of turns) turn();
  expect(told).toEqual(["accepted"]);
});

test("the activity is bounded", () => {
  for (let i = 0; i < 80; i++) accept(send(i % 2 ? "up" : "down"), `r${i}`);
  expect(store.activities()).toHaveLength(50);
});
