// useRealTimeUpdates.ts - live counts of what is on the screen. Skeleton. SPDX-License-Identifier: Apache-2.0
import type { LiveStatus } from "./store.js";

/** Subscribes the projects while the component is there (counted: several may ask for the same one), and
 * says whether the page is live. Called by each card with its own id, or by a list with all of them. */
export function useRealTimeUpdates(_projectIds: readonly string[] = []): { readonly status: LiveStatus } {
  throw new Error("skeleton");
}
