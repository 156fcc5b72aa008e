// provider.tsx - what the hooks of a page share. SPDX-License-Identifier: Apache-2.0
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useRef, useState, type ReactNode } from "react";
import type { Client, Problem, Result } from "./client.js";
import { keys, projectQuery, unwrap } from "./queries.js";
import { createSession, type Session } from "./session.js";
import { openSocket } from "./socket.js";
import type { Click, Notice, Notify } from "./store.js";
import type { TokenProvider, VoteAnswer } from "./types.js";
import { Votes } from "./votes.js";

export interface VotesProviderProps {
  readonly client: Client;
  /** Where vote-notify is, `https://notify.example`; absent or null: no live updates. */
  readonly socketUrl?: string | null;
  /** Whose own events come; absent: public counts only. */
  readonly token?: TokenProvider;
  readonly notify?: Notify;
  readonly children?: ReactNode;
}

/** A session, and what tells its queries from those of the user before. */
export interface PageSession extends Session {
  readonly id: number;
}

const Context = createContext<PageSession | null>(null);
let sessions = 0;

/** A click as a mutation, so that `useIsMutating`, a MutationCache and the devtools see it. */
async function mutate(queries: QueryClient, client: Client, click: Click): Promise<Result<VoteAnswer>> {
  let result: Result<VoteAnswer> | undefined;
  const mutation = queries.getMutationCache().build<VoteAnswer, Error, Click, unknown>(queries, {
    mutationKey: keys.vote(),
    networkMode: "always",
    retry: false,
    mutationFn: async (one) => unwrap((result = await Votes.send(client, one))),
  });
  await mutation.execute(click).catch(() => {});
  return result ?? { ok: false, problem: unexpected };
}

const unexpected: Problem = { kind: "network", status: 0, detail: "the vote could not be sent" };

/** Authoritative counts and votes of a project that the server has corrected. */
async function refetch(queries: QueryClient, session: PageSession, project_id: string): Promise<void> {
  void queries.invalidateQueries({ queryKey: keys.leaderboard() });
  // One that fails does not keep the other back, nor needs an answer: live counts go on coming, and the status of
  // what is open is asked for.
  const own = session.votes.load([project_id]).catch(() => {});
  const counts = queries.fetchQuery({ ...projectQuery(session.client, project_id), staleTime: 0 });
  await counts.then((data) => session.store.applySnapshot([data])).catch(() => {});
  await own;
}

function openSession(props: VotesProviderProps, queries: QueryClient, notify: Notify): PageSession {
  const { client, socketUrl, token } = props;
  const id = ++sessions;
  const session: PageSession = {
    id,
    ...createSession({
      client,
      notify,
      socket: socketUrl ? openSocket(socketUrl, token) : null,
      send: (click) => mutate(queries, client, click),
      refetch: (project_id) => void refetch(queries, session, project_id),
      onLiveAgain: () => void queries.invalidateQueries({ queryKey: keys.userVotes(id) }),
    }),
  };
  return session;
}

/** Needs a QueryClientProvider around it. Give it the user as `key`: another user begins anew. */
export function VotesProvider(props: VotesProviderProps): ReactNode {
  const queries = useQueryClient();
  const notify = useRef(props.notify);
  useEffect(() => {
    notify.current = props.notify;
  });
  const [session] = useState(() => openSession(props, queries, (notice: Notice) => notify.current?.(notice)));
  useEffect(() => {
    session.start();
    return () => session.stop();
  }, [session]);
  return <Context.Provider value={session}>{props.children}</Context.Provider>;
}

export function useSession(): PageSession {
  const session = useContext(Context);
  if (!session) throw new Error("there is no VotesProvider around this component");
  return session;
}
