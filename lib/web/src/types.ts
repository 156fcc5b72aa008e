// types.ts - the shapes that the API and Socket.IO agree on. SPDX-License-Identifier: Apache-2.0
import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type VoteRequest = Schemas["Vote"];
export type VoteType = VoteRequest["vote_type"];
export type VoteAnswer = Schemas["VoteAnswer"]["data"];
export type UserVote = VoteAnswer["user_vote"];
export type VoteStatus = Schemas["StatusAnswer"]["data"];
export type Metrics = Schemas["Metrics"];
export type UserVotesPage = Schemas["UserVotesAnswer"]["data"];
export type Project = Schemas["ProjectAnswer"]["data"];
export type LeaderboardEntry = Schemas["LeaderboardAnswer"]["data"]["projects"][number];

/** A project's committed counts; `version` grows with every change of them. */
export interface Counts {
  readonly upvotes: number;
  readonly downvotes: number;
  readonly voteCount: number;
  readonly community_score: number;
  readonly version: number;
}

export interface ProjectCounts extends Counts {
  readonly project_id: string;
}

/** `vote:cast` and `vote:removed`, as everybody sees them. */
export interface PublicEvent extends ProjectCounts {
  readonly action: VoteAnswer["action"];
  readonly coalesced: number;
  readonly committed_at: string;
}

/** The same to the user who voted; with `reason` it is a `vote:reconciled`. */
export interface OwnEvent extends PublicEvent {
  readonly request_id: string;
  readonly user_vote: UserVote;
  readonly reason?: string;
}

/** `vote:failed`: the vote is gone, `user_vote` is what stands. */
export interface FailedEvent {
  readonly request_id: string;
  readonly project_id: string;
  readonly reason: string;
  readonly user_vote: UserVote;
}

/** What an acknowledgement of `subscribe` and `unsubscribe` says. */
export type SubscribeAnswer =
  | { readonly ok: true; readonly projects?: Readonly<Record<string, Counts>> }
  | { readonly ok: false; readonly error: string };

export type TokenProvider = (why: { refresh: boolean }) => string | Promise<string>;
