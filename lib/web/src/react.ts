// react.ts - the hooks. SPDX-License-Identifier: Apache-2.0
export { useSession, VotesProvider, type PageSession, type VotesProviderProps } from "./provider.js";
export { useActivity, useProject, useVoteActions, useVotes, type UseVotes, type VoteActions } from "./useVotes.js";
export { useRealTimeUpdates } from "./useRealTimeUpdates.js";
export { keys, leaderboardQuery, metricsQuery, ProblemError, projectQuery } from "./queries.js";
export { openSocket } from "./socket.js";
export type { Activity, LiveStatus, Notice, Notify, ProjectView, RequestState } from "./store.js";
