// react.ts - the hooks. SPDX-License-Identifier: Apache-2.0
export { VotesProvider, type VotesProviderProps } from "./provider.js";
export { useActivity, useProject, useVotes, type Votes } from "./useVotes.js";
export { useRealTimeUpdates } from "./useRealTimeUpdates.js";
export { keys, leaderboardQuery, metricsQuery, ProblemError, projectQuery } from "./queries.js";
export type { Activity, LiveStatus, Notice, Notify, ProjectView, RequestState } from "./store.js";
