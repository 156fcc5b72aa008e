// store.ts - what a page shows of its projects: committed counts, and the user's own clicks on top.
// Skeleton. SPDX-License-Identifier: Apache-2.0
import type { Problem } from "./client.js";
import type { UserVote, VoteType } from "./types.js";

/** One project as it is shown. A new object only when something about it has changed. */
export interface ProjectView {
  readonly project_id: string;
  /** False until counts are known; they are 0 until then. */
  readonly known: boolean;
  readonly upvotes: number;
  readonly downvotes: number;
  readonly voteCount: number;
  readonly community_score: number;
  readonly version: number;
  /** Undefined until it is known. */
  readonly user_vote: UserVote | undefined;
  /** A click is not committed yet. */
  readonly pending: boolean;
}

export type RequestState =
  | "waiting" | "sending" | "accepted" | "committed" | "reconciled" | "superseded" | "failed";

/** One of the user's requests, for an activity strip. Times are Date.now(), on the browser's clock. */
export interface Activity {
  readonly key: string;
  readonly project_id: string;
  readonly vote_type: VoteType;
  readonly state: RequestState;
  readonly request_id: string | null;
  readonly clicked_at: number;
  readonly accepted_at: number | null;
  /** When the server committed it, by the server's clock (ISO 8601). */
  readonly committed_at: string | null;
  /** When this page was told of the commit. */
  readonly announced_at: number | null;
  readonly reason: string | null;
}

/** What the user is told about: for toasts. */
export type Notice =
  /** The vote did not stand as it was shown; what does is in user_vote. */
  | { readonly kind: "reconciled"; readonly project_id: string; readonly request_id: string; readonly reason: string; readonly user_vote: UserVote }
  /** The commit failed: the vote was rolled back. */
  | { readonly kind: "failed"; readonly project_id: string; readonly request_id: string; readonly reason: string; readonly user_vote: UserVote }
  /** The server did not take the vote: it was rolled back. */
  | { readonly kind: "rejected"; readonly project_id: string; readonly vote_type: VoteType; readonly problem: Problem }
  /** Too many votes: the click is kept and sent again in `retryAfterMs`. */
  | { readonly kind: "waiting"; readonly project_id: string; readonly vote_type: VoteType; readonly retryAfterMs: number };

export type Notify = (notice: Notice) => void;
export type LiveStatus = "live" | "connecting" | "reconnecting" | "off";
