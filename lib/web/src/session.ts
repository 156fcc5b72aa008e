// session.ts - a user on a page: the store, the votes and the live updates, wired to each other.
// SPDX-License-Identifier: Apache-2.0
import type { Client, Result } from "./client.js";
import { RealTime, type SocketLike } from "./realtime.js";
import { VoteStore, type Click, type Notify } from "./store.js";
import type { VoteAnswer } from "./types.js";
import { Votes } from "./votes.js";

export interface SessionOptions {
  readonly client: Client;
  /** A socket that is not connected yet; null: no live updates. */
  readonly socket?: SocketLike | null | undefined;
  readonly notify?: Notify | undefined;
  readonly store?: VoteStore | undefined;
  readonly maxProjects?: number | undefined;
  /** How long after its answer a vote's status is asked for, when no own event came; 3 s. */
  readonly settleMs?: number | undefined;
  /** How a click is sent, and what was corrected is fetched anew; the client does both when absent. */
  readonly send?: ((click: Click) => Promise<Result<VoteAnswer>>) | undefined;
  readonly refetch?: ((project_id: string) => void) | undefined;
  /** The page is live again and may have missed own votes of other pages. */
  readonly onLiveAgain?: (() => void) | undefined;
}

export interface Session {
  readonly client: Client;
  readonly store: VoteStore;
  readonly votes: Votes;
  readonly realtime: RealTime | null;
  start(): void;
  stop(): void;
}

export function createSession(options: SessionOptions): Session {
  const { client, socket, notify, send, onLiveAgain, maxProjects, settleMs, store = new VoteStore() } = options;

  const refetch = async (project_id: string) => {
    const own = votes.load([project_id]).catch(() => {}); // asked for again with the next page load
    const counts = await client.project(project_id);
    if (counts.ok) store.applySnapshot([counts.data]);
    await own;
  };
  const votes: Votes = new Votes({
    client, store, notify, send, settleMs, refetch: options.refetch ?? ((project_id) => void refetch(project_id)),
  });

  const listenTo = (one: SocketLike): RealTime =>
    new RealTime({
      socket: one,
      maxProjects,
      onPublic: (event) => store.applyLive(event),
      onSnapshot: (counts) => store.applySnapshot(counts),
      onOwn: (event) => votes.onOwn(event),
      onFailed: (event) => votes.onFailed(event),
      onLive(again) {
        votes.catchUp();
        if (again) onLiveAgain?.();
      },
    });
  const realtime = socket ? listenTo(socket) : null;

  return {
    client, store, votes, realtime,
    start() {
      realtime?.start();
      votes.catchUp();
    },
    stop() {
      realtime?.stop();
      votes.stop();
    },
  };
}
