// @vitest-environment jsdom
// hooks.test.tsx - the React hooks, against real servers. SPDX-License-Identifier: Apache-2.0
import { QueryClient, QueryClientProvider, useIsMutating } from "@tanstack/react-query";
import { act, cleanup, render, screen } from "@testing-library/react";
import { StrictMode, type ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient } from "../src/client.js";
import {
  keys, projectQuery, useActivity, useProject, useRealTimeUpdates, useSession, useVoteActions, useVotes, VotesProvider,
  type Notice,
} from "../src/react.js";
import { aWhile, Backend, problem, until } from "./backend.js";

let backend: Backend;
let notices: Notice[];
let queries: QueryClient;
const renders = new Map<string, number>();
const token = () => "t1";

function Card({ id }: { id: string }) {
  const { upvotes, known, user_vote, pending } = useProject(id);
  const { click } = useVoteActions();
  renders.set(id, (renders.get(id) ?? 0) + 1);
  return (
    <button data-testid={id} aria-pressed={user_vote === "up"} onClick={() => click(id, "up")}>
      {known ? upvotes : "?"}{pending ? "…" : ""}
    </button>
  );
}

function List({ ids }: { ids: readonly string[] }) {
  const { status } = useRealTimeUpdates(ids);
  const { isLoading } = useVotes(ids);
  const [newest] = useActivity();
  const sending = useIsMutating({ mutationKey: keys.vote() });
  return (
    <>
      <p data-testid="status">{status}</p>
      <p data-testid="loading">{isLoading ? "loading" : "loaded"}</p>
      <p data-testid="activity">{newest?.state}</p>
      <p data-testid="sending">{sending}</p>
      {ids.map((id) => <Card key={id} id={id} />)}
    </>
  );
}

function Page({ children, user = "u1" }: { children: ReactNode; user?: string }) {
  const told = notices;
  return (
    <StrictMode>
      <QueryClientProvider client={queries}>
        <VotesProvider
          key={user}
          client={createClient({ baseUrl: backend.url, token, maxTries: 1 })}
          socketUrl={backend.url}
          token={token}
          notify={(notice) => told.push(notice)}
        >
          {children}
        </VotesProvider>
      </QueryClientProvider>
    </StrictMode>
  );
}

const text = (id: string) => screen.getByTestId(id).textContent;
/** Real time passes, and React may render meanwhile. */
const eventually = (what: () => boolean) => act(() => until(what, 5000));

async function open(...ids: string[]) {
  const view = render(<Page><List ids={ids} /></Page>);
  await eventually(() => text("status") === "live" && text("loading") === "loaded" && text(ids[0]!) !== "?");
  return view;
}

beforeEach(async () => {
  backend = await new Backend().start();
  queries = new QueryClient();
  notices = [];
  renders.clear();
});
afterEach(async () => {
  cleanup();
  queries.clear();
  await backend.stop();
});

test("a click is on the page when its handler returns, and ends committed", async () => {
  await open("p1");
  act(() => screen.getByTestId("p1").click());
  expect([text("p1"), screen.getByTestId("p1").getAttribute("aria-pressed")]).toEqual(["11…", "true"]);
  await eventually(() => text("activity") === "accepted");
  act(() => backend.commit());
  await eventually(() => text("p1") === "11");
  await eventually(() => text("activity") === "committed");
});

test("the frame of a click has its count and nothing else: it is told of, and sent, behind it", async () => {
  await open("p1");
  const frames: FrameRequestCallback[] = [];
  vi.spyOn(window, "requestAnimationFrame").mockImplementation((callback) => frames.push(callback));
  vi.useFakeTimers({ toFake: ["setTimeout"] }); // no frame comes, however long it takes
  act(() => screen.getByTestId("p1").click());
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
  expect([text("p1"), text("activity"), queries.isMutating()]).toEqual(["11…", "", 0]);
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const frame of frames) frame(0);
  await eventually(() => text("activity") === "accepted");
  expect(backend.posts()).toHaveLength(1);
});

test("a click is a mutation while it is sent", async () => {
  await open("p1");
  backend.before = ({ method }) => (method === "POST" ? aWhile(100).then(() => null) : null);
  act(() => screen.getByTestId("p1").click());
  await eventually(() => text("sending") === "1");
  await eventually(() => text("sending") === "0");
});

test("an update of one project renders its card alone", async () => {
  await open("p1", "p2");
  const before = new Map(renders);
  backend.others("p2");
  await eventually(() => text("p2") === "11");
  expect(renders.get("p1")).toBe(before.get("p1"));
});

test("the user's votes are shown when the page opens", async () => {
  backend.row("p2").shown = "up";
  await open("p1", "p2");
  expect(screen.getByTestId("p2").getAttribute("aria-pressed")).toBe("true");
  expect(screen.getByTestId("p1").getAttribute("aria-pressed")).toBe("false");
});

test("a refused vote is rolled back, and a toast can be shown", async () => {
  await open("p1");
  backend.before = ({ method }) => (method === "POST" ? problem(503, "temporary-reduced-capacity") : null);
  act(() => screen.getByTestId("p1").click());
  expect(text("p1")).toBe("11…");
  await eventually(() => text("p1") === "10");
  expect(notices).toMatchObject([{ kind: "rejected", problem: { kind: "unavailable" } }]);
});

test("a failed commit is rolled back, and a toast can be shown", async () => {
  await open("p1");
  act(() => screen.getByTestId("p1").click());
  await eventually(() => text("activity") === "accepted");
  backend.fail();
  await eventually(() => text("p1") === "10");
  expect(notices).toMatchObject([{ kind: "failed", reason: "it is refused" }]);
});

test("a correction refetches the project through its query", async () => {
  await open("p1");
  act(() => screen.getByTestId("p1").click());
  await eventually(() => text("activity") === "accepted");
  backend.reconcile();
  await eventually(() => notices.length === 1);
  expect(notices[0]).toMatchObject({ kind: "reconciled", user_vote: "up" });
  const key = keys.project("p1");
  await eventually(() => queries.getQueryData<{ version: number }>(key)?.version === backend.row("p1").version);
  expect(text("p1")).toBe("11");
});

test("what leaves the screen is unsubscribed, what comes is subscribed", async () => {
  const { rerender } = await open("p1", "p2");
  backend.messages.length = 0;
  rerender(<Page><List ids={["p2", "p3"]} /></Page>);
  await eventually(() => text("p3") === "10");
  expect(backend.messages).toEqual([
    { event: "unsubscribe", project_ids: ["p1"] },
    { event: "subscribe", project_ids: ["p3"] },
  ]);
});

test("the page tells that it is reconnecting, and has right counts then", async () => {
  await open("p1");
  const back = await backend.goAway();
  await eventually(() => text("status") === "reconnecting");
  backend.row("p1").upvotes = 33;
  backend.row("p1").version = 8;
  await act(back);
  await eventually(() => text("status") === "live");
  await eventually(() => text("p1") === "33");
});

test("votes of another page of the user while this one was away are loaded", async () => {
  await open("p1");
  const back = await backend.goAway();
  await eventually(() => text("status") === "reconnecting");
  backend.row("p1").shown = "up";
  await act(back);
  await eventually(() => screen.getByTestId("p1").getAttribute("aria-pressed") === "true");
});

test("another user begins anew", async () => {
  backend.row("p1").shown = "up";
  const { rerender } = await open("p1");
  backend.row("p1").shown = null;
  rerender(<Page user="u2"><List ids={["p1"]} /></Page>);
  await eventually(() => text("loading") === "loaded" && text("p1") === "10");
  await eventually(() => screen.getByTestId("p1").getAttribute("aria-pressed") === "false");
  await until(() => backend.clients === 1);
});

test("a page that is left closes its socket", async () => {
  const { unmount } = await open("p1");
  expect(backend.clients).toBe(1);
  unmount();
  await until(() => backend.clients === 0);
});

test("counts from elsewhere are taken when they are newer", async () => {
  let seed: ReturnType<typeof useVoteActions>["seed"] = () => {};
  const Seeder = () => ((seed = useVoteActions().seed), null);
  render(<Page><List ids={["p1"]} /><Seeder /></Page>);
  await eventually(() => text("p1") === "10");
  const counts = { project_id: "p1", downvotes: 0, voteCount: 0, community_score: 0 };
  act(() => seed([{ ...counts, upvotes: 77, version: 4 }]));
  expect(text("p1")).toBe("10");
  act(() => seed([{ ...counts, upvotes: 78, version: 6 }]));
  expect(text("p1")).toBe("78");
});

test("a query fails with the problem as a value", async () => {
  backend.before = () => problem(404, "unknown-project");
  const client = createClient({ baseUrl: backend.url, token });
  const failing = queries.fetchQuery(projectQuery(client, "none"));
  await expect(failing).rejects.toMatchObject({ name: "ProblemError", problem: { kind: "not-found" } });
});

test("a hook outside of a provider says what is missing", () => {
  const Lost = () => (useSession(), null);
  expect(() => render(<Lost />)).toThrow("there is no VotesProvider");
});
