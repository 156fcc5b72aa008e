// App.tsx - the page: who one is, the feed, and what stands beside it. SPDX-License-Identifier: Apache-2.0
import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Notice } from "../src/caster.js";
import type { LiveStatus } from "../src/live.js";
import { createVotes, useActivity, useRealTimeUpdates, useVotes, useVotesContext, VotesProvider } from "../src/react.js";
import { Feed } from "./Feed.js";
import { ActivityPanel, FiguresPanel, LeaderboardPanel, useLeaderboard } from "./Panels.js";
import { fetchConfig, loadUser, saveUser, tokenProvider, type DemoConfig } from "./session.js";
import { titleOf } from "./text.js";
import { Toasts, useToasts } from "./Toasts.js";

const FEED_MAX = 100;
const USERS = ["ada", "alan", "grace", "linus", "margaret"];
const STATUS_TEXT: Record<LiveStatus, string> = { live: "live", connecting: "connecting", reconnecting: "reconnecting", off: "not live" };

function textOf(notice: Notice): string {
  const title = titleOf(notice.projectId);
  switch (notice.kind) {
    case "refused": return `${title}: your vote was not taken. ${notice.problem.detail}`;
    case "failed": return `${title}: your vote could not be counted and was taken back.`;
    case "reconciled": return `${title}: the counts were corrected.`;
  }
}

function UserSwitch({ user, onChange }: { user: string; onChange: (user: string) => void }) {
  const users = USERS.includes(user) ? USERS : [user, ...USERS];
  return (
    <label className="user">
      <span>Voting as</span>
      <select value={user} onChange={(event) => onChange(event.target.value)}>
        {users.map((name) => <option key={name}>{name}</option>)}
      </select>
    </label>
  );
}

/** One sentence a click, when it has settled; other people's votes are not read out. */
function OwnVotesAloud() {
  const { store } = useVotesContext();
  const latest = useActivity()[0];
  const [text, setText] = useState("");
  useEffect(() => {
    if (!latest) return;
    const timer = setTimeout(() => {
      const { userVote, voteCount } = store.get(latest.projectId);
      setText(`${titleOf(latest.projectId)}: ${userVote ? `voted ${userVote}` : "no vote"}, ${voteCount} points`);
    }, 700);
    return () => clearTimeout(timer);
  }, [latest, store]);
  return <p className="aloud" role="status" aria-live="polite">{text}</p>;
}

/** ?ids=a,b,c shows these projects, in this order. */
function askedFor(): string[] {
  return new URLSearchParams(location.search).get("ids")?.split(",").filter(Boolean) ?? [];
}

function Content({ config, user, token, setUser }: { config: DemoConfig; user: string; token: () => Promise<string>; setUser: (user: string) => void }) {
  const votes = useVotesContext();
  const all = useLeaderboard(votes, user, FEED_MAX, false);
  const [ids, setIds] = useState(askedFor);
  useEffect(() => {
    // the order of the feed stays as it was: what moves under a finger gets the wrong click
    if (all.data) setIds((shown) => (shown.length ? shown : all.data.projects.map((project) => project.project_id)));
    for (const project of all.data?.projects ?? []) votes.store.setCounts(project.project_id, project);
  }, [all.data, votes.store]);
  const { press, error } = useVotes(ids, user);
  const status = useRealTimeUpdates({ url: config.notify_url, user, token, projectIds: ids });
  const problem = all.error ?? error;
  return (
    <>
      <header className="top">
        <h1><span className="mark" aria-hidden="true">▲</span> votepipe</h1>
        <p className={`live ${status}`} role="status" data-live={status}><span className="dot" aria-hidden="true" />{STATUS_TEXT[status]}</p>
        <UserSwitch user={user} onChange={setUser} />
      </header>
      <main id="feed" tabIndex={-1}>
        <h2>What should come next?</h2>
        {problem && <p className="problem" role="alert">The server cannot be asked just now: {problem.message}. This page tries again.</p>}
        {all.isPending && <ul className="feed" aria-hidden="true">{Array.from({ length: 8 }, (_, i) => <li key={i} className="card ghost" />)}</ul>}
        {all.isSuccess && all.data.projects.length === 0 && <p className="empty">There are no projects yet: vote-admin projects import FILE makes some.</p>}
        <Feed ids={ids} press={press} />
      </main>
      <aside aria-label="Beside the feed">
        <ActivityPanel />
        <FiguresPanel user={user} />
        <LeaderboardPanel user={user} />
      </aside>
      <OwnVotesAloud />
    </>
  );
}

function Session({ config }: { config: DemoConfig }) {
  const [user, setUser] = useState(loadUser);
  const { toasts, show, dismiss } = useToasts();
  const provider = useRef<ReturnType<typeof tokenProvider>>(null!);
  provider.current ??= tokenProvider(user);
  const token = useMemo(() => (again?: boolean) => provider.current(again), []);
  const votes = useMemo(() => createVotes({
    token,
    notify: (notice) => show(textOf(notice), notice.kind === "reconciled" ? "note" : "bad"),
  }), [token, show]);
  const change = (name: string) => {
    provider.current = tokenProvider(name);
    votes.caster.forgetUser();
    saveUser(name);
    setUser(name);
  };
  return (
    <VotesProvider value={votes}>
      <Content config={config} user={user} token={token} setUser={change} />
      <Toasts toasts={toasts} dismiss={dismiss} />
    </VotesProvider>
  );
}

function Start() {
  const config = useQuery({ queryKey: ["demo", "config"], queryFn: fetchConfig, retry: true, retryDelay: 2_000, staleTime: Infinity });
  if (config.isPending) return <p className="center" role="status">{config.failureReason ? `${config.failureReason.message}; trying again` : "Loading"}</p>;
  if (!config.data) return null;
  if (!config.data.dev_tokens)
    return <p className="center" role="alert">This server gives no development tokens (--dev-tokens), so that this page cannot vote. The API is described at <a href="/openapi.json">/openapi.json</a>.</p>;
  return <Session config={config.data} />;
}

const queries = new QueryClient({
  defaultOptions: { queries: { retry: 2, retryDelay: 1_000, networkMode: "always", refetchOnWindowFocus: true } },
});

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <a className="skip" href="#feed">Skip to the projects</a>
      <div className="page"><Start /></div>
    </QueryClientProvider>
  );
}
