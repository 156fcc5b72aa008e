// useRealTimeUpdates.ts - counts that move by themselves, in React. SPDX-License-Identifier: Apache-2.0
import { useEffect, useState, useSyncExternalStore } from "react";
import { useVotesContext } from "./context.js";
import { LiveUpdates, type LiveOptions, type LiveStatus } from "./live.js";

export interface RealTimeOptions extends Pick<LiveOptions, "token" | "transports"> {
  /** Where vote-notify is; null: the page is not live. */
  url: string | null;
  /** Another user is another connection. */
  user?: string;
  /** What is on the screen. */
  projectIds: readonly string[];
}

const NEVER = () => () => {};

/** Keeps the projects' counts live, and says whether they are. */
export function useRealTimeUpdates({ url, user, token, projectIds, transports }: RealTimeOptions): LiveStatus {
  const { store, caster, notify } = useVotesContext();
  const [live, setLive] = useState<LiveUpdates | null>(null);
  useEffect(() => {
    if (url === null) return;
    const opened = new LiveUpdates({
      url, store, caster, notify, ...(token ? { token } : {}), ...(transports ? { transports } : {}),
    });
    setLive(opened);
    return () => {
      opened.close();
      setLive(null);
    };
    // `token` is asked for by the connection when it needs one
  }, [url, user, store, caster, notify]);
  const key = [...new Set(projectIds)].sort().join(" ");
  useEffect(() => (live && key ? live.watch(key.split(" ")) : undefined), [live, key]);
  return useSyncExternalStore(
    live ? (listener) => live.onStatus(listener) : NEVER,
    () => live?.status ?? "off",
    () => "off" as const,
  );
}
