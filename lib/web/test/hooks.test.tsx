// @vitest-environment jsdom
// hooks.test.tsx - the hooks in a page. SPDX-License-Identifier: Apache-2.0
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createVotes, useActivity, useProject, useRealTimeUpdates, useVotes, VotesProvider, type Votes } from "../src/react.js";
import type { Notice } from "../src/caster.js";
import { accepted, problem, TestServer, until } from "./server.js";

const counts = (upvotes: number, version: number) => ({ upvotes, downvotes: 0, community_score: 0.5, version });
let server: TestServer;
let votes: Votes;
let notices: Notice[];
let own: { project_id: string; vote_type: string; updated_at: string }[];
let drawn: Record<string, number>;

function Card({ id, press }: { id: string; press: (id: string, arrow: "up" | "down") => void }) {
  const project = useProject(id);
  drawn[id] = (drawn[id] ?? 0) + 1;
  return (
    <button aria-label={id} aria-pressed={project.userVote === "up"} onClick={() => press(id, "up")}>
      {project.voteCount}
    </button>
  );
}

function Page({ ids, user = "ada", url = server.url }: { ids: string[]; user?: string; url?: string | null }) {
  const { press, isLoading, error } = useVotes(ids, user);
  const status = useRealTimeUpdates({ url, user, projectIds: ids, transports: ["websocket"] });
  const activity = useActivity();
  return (
    <main data-status={status} data-loading={isLoading} data-error={error?.message} data-activity={activity.length}>
      {ids.map((id) => <Card key={id} id={id} press={press} />)}
    </main>
  );
}

const page = () => screen.getByRole("main").dataset;
const button = (id: string) => screen.getByRole("button", { name: id });
const show = (element: React.ReactElement) => {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const wrap = (child: React.ReactElement) => <QueryClientProvider client={queries}><VotesProvider value={votes}>{child}</VotesProvider></QueryClientProvider>;
  const { rerender, unmount } = render(wrap(element));
  return { again: (child: React.ReactElement) => rerender(wrap(child)), unmount };
};

beforeEach(async () => {
  server = await new TestServer().start();
  notices = [];
  own = [];
  drawn = {};
  server.counts = () => counts(5, 1);
  server.answer = ({ method, body }) =>
    method === "POST" ? accepted(body.project_id, body.vote_type, `r${server.calls.length}`) : { body: { status: "success", data: { votes: own, next_cursor: null } } };
  votes = createVotes({ baseUrl: server.url, token: () => "t", retries: 0, notify: (notice) => notices.push(notice) });
});
afterEach(async () => {
  cleanup();
  votes.caster.forgetUser();
  await server.stop();
});

test("a page shows counts and own votes, and says that it is live", async () => {
  own = [{ project_id: "a", vote_type: "up", updated_at: "" }];
  show(<Page ids={["a", "b"]} />);
  expect(page()).toMatchObject({ status: "connecting", loading: "true" });
  await act(() => until(() => page().status === "live" && page().loading === "false" && button("b").textContent === "5"));
  expect(button("a").getAttribute("aria-pressed")).toBe("true");
  expect(button("b").getAttribute("aria-pressed")).toBe("false");
});

test("a press is shown in the same event, and not waited for", async () => {
  show(<Page ids={["a"]} />);
  await act(() => until(() => button("a").textContent === "5"));
  fireEvent.click(button("a"));
  expect(button("a").textContent).toBe("6");
  expect(button("a").getAttribute("aria-pressed")).toBe("true");
  await act(() => until(() => page().activity === "1"));
});

test("a refused press goes back and is told", async () => {
  server.answer = ({ method }) => (method === "POST" ? problem(404, "unknown project") : { body: { data: { votes: [], next_cursor: null } } });
  show(<Page ids={["a"]} />);
  await act(() => until(() => button("a").textContent === "5"));
  fireEvent.click(button("a"));
  await act(() => until(() => notices.length === 1));
  expect(button("a").textContent).toBe("5");
});

test("somebody's vote draws that one card again", async () => {
  show(<Page ids={["a", "b"]} />);
  await act(() => until(() => button("b").textContent === "5"));
  const before = { ...drawn };
  server.io.emit("vote:cast", { project_id: "a", ...counts(9, 2), committed_at: "2026-11-23T18:03:39.594Z" });
  await act(() => until(() => button("a").textContent === "9"));
  expect(drawn.a).toBe(before.a! + 1);
  expect(drawn.b).toBe(before.b);
});

test("what comes onto the screen is subscribed, and another user connects again", async () => {
  const { again } = show(<Page ids={["a"]} />);
  await act(() => until(() => page().status === "live"));
  again(<Page ids={["a", "b"]} />);
  await act(() => until(() => votes.store.get("b").known));
  expect(server.subscribed).toEqual([["a"], ["b"]]);
  again(<Page ids={["a", "b"]} user="bob" />);
  await act(() => until(() => server.subscribed.length === 3));
  expect(server.subscribed[2]?.sort()).toEqual(["a", "b"]);
});

test("a page that is left closes its connection", async () => {
  const { unmount } = show(<Page ids={["a"]} />);
  await act(() => until(() => page().status === "live"));
  unmount();
  await until(() => server.io.sockets.sockets.size === 0);
});

test("own votes that cannot be read are an error, and the counts are there all the same", async () => {
  server.answer = () => problem(503, "away");
  show(<Page ids={["a"]} />);
  await act(() => until(() => page().error === "away" && button("a").textContent === "5"));
});

test("without a provider the hook says what it lacks", () => {
  expect(() => render(<Card id="a" press={() => {}} />)).toThrow("VotesProvider");
});
