// SPDX-License-Identifier: Apache-2.0
export * from "./context.js";
export * from "./useRealTimeUpdates.js";
export * from "./useVotes.js";
