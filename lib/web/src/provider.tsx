// provider.tsx - what the hooks of a page share. Skeleton. SPDX-License-Identifier: Apache-2.0
import type { ReactNode } from "react";
import type { Client } from "./client.js";
import type { Notify } from "./store.js";
import type { TokenProvider } from "./types.js";

export interface VotesProviderProps {
  readonly client: Client;
  /** Where vote-notify is, `http://127.0.0.1:8081`; absent or null: no live updates. */
  readonly socketUrl?: string | null;
  /** Whose own events come; absent: public counts only. */
  readonly token?: TokenProvider;
  readonly notify?: Notify;
  readonly children?: ReactNode;
}

/** Give it a `key` of the user: another user begins with another store. Needs a QueryClientProvider around it. */
export function VotesProvider(props: VotesProviderProps): ReactNode {
  return props.children;
}
