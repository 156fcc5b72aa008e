// useVotes.ts - the user's own votes. Skeleton. SPDX-License-Identifier: Apache-2.0
import type { Activity, ProjectView } from "./store.js";
import type { Counts, ProjectCounts, VoteType } from "./types.js";

export interface Votes {
  /** A click on a button: the vote that is shown is taken back, any other is set. At once. */
  click(project_id: string, vote_type: "up" | "down"): void;
  /** Sets the vote, whatever is shown. */
  set(project_id: string, vote_type: VoteType): void;
  /** Counts that the page has from elsewhere (leaderboard); older than what is shown is ignored. */
  seed(counts: Iterable<ProjectCounts>): void;
  /** Own votes of these projects are being loaded. */
  readonly isLoading: boolean;
}

/** Loads the user's votes of the projects on the screen, and gives the actions. Does not render on counts. */
export function useVotes(_projectIds: readonly string[] = []): Votes {
  throw new Error("skeleton");
}

/** One project, for its card: renders only when this project changes. */
export function useProject(_project_id: string): ProjectView {
  throw new Error("skeleton");
}

/** The newest of the user's requests first, at most 50. */
export function useActivity(): readonly Activity[] {
  throw new Error("skeleton");
}
export type { Counts };
