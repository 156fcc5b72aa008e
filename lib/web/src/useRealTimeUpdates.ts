// useRealTimeUpdates.ts - live counts of what is on the screen. SPDX-License-Identifier: Apache-2.0
import { useEffect, useSyncExternalStore } from "react";
import { useSession } from "./provider.js";
import type { LiveStatus } from "./store.js";

const never = () => () => {};
const off = (): LiveStatus => "off";

/** Subscribes the projects while the component is there (they are counted: several may ask for the same one),
 * and says whether the page is live. For a list with all of its ids, or for each card with its own. */
export function useRealTimeUpdates(projectIds: readonly string[] = []): { readonly status: LiveStatus } {
  const { realtime } = useSession();
  const list = projectIds.join(); // ids have no comma
  useEffect(() => (list ? realtime?.watch(list.split(",")) : undefined), [realtime, list]);
  const status = useSyncExternalStore(realtime?.subscribe ?? never, realtime?.status ?? off, off);
  return { status };
}
