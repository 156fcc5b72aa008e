// context.ts - what the hooks of one page share. SPDX-License-Identifier: Apache-2.0
import { createContext, useContext } from "react";
import { VoteCaster, type Notice } from "./caster.js";
import { createVoteClient, type ClientOptions, type VoteClient } from "./client.js";
import { VoteStore } from "./store.js";

export interface Votes {
  client: VoteClient;
  store: VoteStore;
  caster: VoteCaster;
  notify: (notice: Notice) => void;
}

/** `notify` is told what the user should hear of: refused, failed and reconciled votes. */
export function createVotes({ notify = () => {}, ...options }: ClientOptions & { notify?: (notice: Notice) => void; patienceMs?: number }): Votes {
  const client = createVoteClient(options);
  const store = new VoteStore();
  const { patienceMs } = options;
  const caster = new VoteCaster({ client, store, notify, ...(patienceMs === undefined ? {} : { patienceMs }) });
  return { client, store, caster, notify };
}

const Context = createContext<Votes | null>(null);
export const VotesProvider = Context.Provider;

export function useVotesContext(): Votes {
  const votes = useContext(Context);
  if (!votes) throw new Error("useVotes needs a VotesProvider above it");
  return votes;
}
