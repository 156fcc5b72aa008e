// App.tsx - the page: who looks at it, the feed, and what stands beside it. SPDX-License-Identifier: Apache-2.0
import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { createClient } from "../src/client.js";
import { leaderboardQuery, useRealTimeUpdates, useSession, useVotes, VotesProvider } from "../src/react.js";
import { ActivityStrip } from "./Activity.js";
import { Announcer, useSay } from "./announcer.js";
import { Feed, Ghosts, type OnVote } from "./Feed.js";
import { Figures } from "./Figures.js";
import { Brand, LiveBadge, UserSwitch } from "./Header.js";
import { Leaderboard } from "./Leaderboard.js";
import { formatCount, formatVote, titleOf } from "./text.js";
import { Toasts, useToasts } from "./Toasts.js";
import { TokenForm } from "./TokenForm.js";
import { devVisitor, fetchConfig, loadName, saveName, type DemoConfig, type Visitor } from "./visitor.js";

const FEED_MAX = 100;
const BOARD_EVERY_MS = 3000;
const SETTLED_MS = 700;
const LONG_MS = 4000;

/** ?ids=a,b,c shows these projects, in this order. */
function askedFor(): readonly string[] {
  return new URLSearchParams(location.search).get("ids")?.split(",").filter(Boolean) ?? [];
}

/** The order in which the projects were first seen: what moves under a finger gets the wrong click. */
function useFeedOrder() {
  const [isFixed] = useState(() => askedFor().length > 0);
  const [ids, setIds] = useState(askedFor);
  const meet = useCallback(
    (found: readonly string[]) => {
      if (isFixed) return;
      setIds((shown) => {
        const fresh = found.filter((id) => !shown.includes(id));
        return fresh.length ? [...shown, ...fresh] : shown;
      });
    },
    [isFixed],
  );
  return { ids, meet, sort: isFixed ? null : setIds };
}

type Order = ReturnType<typeof useFeedOrder>;

/** True when something has been so for longer than people wait without wondering. */
function useIsLong(isSo: boolean): boolean {
  const [isLong, setIsLong] = useState(false);
  useEffect(() => {
    if (!isSo) return setIsLong(false);
    const timer = setTimeout(() => setIsLong(true), LONG_MS);
    return () => clearTimeout(timer);
  }, [isSo]);
  return isLong;
}

function Toolbar({ count, isStale, isLoading, onRetry, onSort }: {
  readonly count: number; readonly isStale: boolean; readonly isLoading: boolean;
  readonly onRetry: () => void; readonly onSort: (() => void) | null;
}) {
  const isLong = useIsLong(isLoading);
  return (
    <div className="toolbar">
      {isStale
        ? <p className="stale">The server does not answer. {count > 0 && "This is what was last known."}</p>
        : <p>{count ? `${count} projects` : isLong ? "Still asking the server …" : "\u00a0"}</p>}
      {isStale
        ? <button type="button" className="quiet" onClick={onRetry}>Try again</button>
        : onSort && <button type="button" className="quiet" onClick={onSort}>Sort by score</button>}
    </div>
  );
}

function FeedState({ title, text, children }: { readonly title: string; readonly text: ReactNode; readonly children?: ReactNode }) {
  return (
    <div className="nothing">
      <h2>{title}</h2>
      <p>{text}</p>
      {children}
    </div>
  );
}

function Content({ config, user, order }: { readonly config: DemoConfig; readonly user: ReactNode; readonly order: Order }) {
  const { client, store } = useSession();
  const say = useSay();
  const { ids, meet, sort } = order;
  const board = useQuery({ ...leaderboardQuery(client, FEED_MAX), refetchInterval: BOARD_EVERY_MS });
  const { click, seed } = useVotes(ids);
  const { status } = useRealTimeUpdates(ids);

  useEffect(() => {
    if (!board.data) return;
    seed(board.data);
    meet(board.data.map(({ project_id }) => project_id));
  }, [board.data, meet, seed]);

  const onVote = useCallback<OnVote>(
    (project_id, direction) => {
      click(project_id, direction);
      const words = () => {
        const { user_vote, voteCount } = store.get(project_id);
        return `${titleOf(project_id)}: ${formatVote(user_vote)}, ${formatCount(voteCount)} points`;
      };
      say("vote", words, SETTLED_MS);
    },
    [click, say, store],
  );
  const onSort = sort && (() => sort((board.data ?? []).map(({ project_id }) => project_id)));
  const isDown = board.isError && !ids.length;
  return (
    <>
      <header className="top">
        <Brand />
        <LiveBadge status={config.notify_url ? status : "off"} />
        {user}
      </header>
      <main id="feed" tabIndex={-1}>
        <div className="hero">
          <h1>What should happen next?</h1>
          <p>Press an arrow. The number moves at once, is counted exactly once, and moves in every other open browser.</p>
        </div>
        <Toolbar count={ids.length} isStale={board.isError} isLoading={board.isPending} onRetry={() => void board.refetch()} onSort={onSort} />
        {board.isPending && !ids.length && <Ghosts />}
        {isDown && <FeedState title="The projects cannot be shown" text="The server does not answer just now. This page goes on asking." />}
        {board.isSuccess && !ids.length && (
          <FeedState title="No projects yet" text={<>Import some: <code>vote-admin projects import FILE</code></>} />
        )}
        <Feed projectIds={ids} onVote={onVote} />
      </main>
      <aside aria-label="Votes, scores and figures">
        <ActivityStrip />
        <Leaderboard projects={board.data} />
        <Figures client={client} />
      </aside>
    </>
  );
}

function Session({ config, visitor, user }: { readonly config: DemoConfig; readonly visitor: Visitor; readonly user: ReactNode }) {
  const order = useFeedOrder();
  const { toasts, notify, dismiss } = useToasts();
  const client = useMemo(() => createClient({ token: visitor.token }), [visitor]);
  return (
    <>
      <VotesProvider key={visitor.name} client={client} socketUrl={config.notify_url} token={visitor.token} notify={notify}>
        <Content config={config} user={user} order={order} />
      </VotesProvider>
      <Toasts toasts={toasts} dismiss={dismiss} />
    </>
  );
}

function DevSession({ config }: { readonly config: DemoConfig }) {
  const [name, setName] = useState(loadName);
  const visitor = useMemo(() => devVisitor(name), [name]);
  const change = (to: string) => setName(saveName(to));
  return <Session config={config} visitor={visitor} user={<UserSwitch name={name} onChange={change} />} />;
}

function TokenSession({ config }: { readonly config: DemoConfig }) {
  const [visitor, setVisitor] = useState<Visitor | null>(null);
  if (!visitor) return <TokenForm onVisitor={setVisitor} />;
  const user = <p className="user">Voting as <b>{visitor.name}</b> <button type="button" className="quiet" onClick={() => setVisitor(null)}>Leave</button></p>;
  return <Session config={config} visitor={visitor} user={user} />;
}

function Start() {
  const config = useQuery({
    queryKey: ["demo", "config"], queryFn: fetchConfig,
    retry: true, retryDelay: 2000, staleTime: Infinity, networkMode: "always",
  });
  if (!config.data)
    return (
      <main id="feed" className="center">
        <Brand />
        <h1>{config.failureReason ? "The server does not answer" : "One moment"}</h1>
        <p>{config.failureReason ? `This page tries again every two seconds: ${config.failureReason.message}.` : "The page is being set up."}</p>
      </main>
    );
  return config.data.dev_tokens ? <DevSession config={config.data} /> : <TokenSession config={config.data} />;
}

const queries = new QueryClient({ defaultOptions: { queries: { networkMode: "always" } } });

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <a className="skip" href="#feed">Skip to the projects</a>
      <Announcer>
        <div className="page"><Start /></div>
      </Announcer>
    </QueryClientProvider>
  );
}
