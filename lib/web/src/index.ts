// index.ts - everything that needs no framework. SPDX-License-Identifier: Apache-2.0
export * from "./client.js";
export * from "./store.js";
export * from "./votes.js";
export * from "./realtime.js";
export * from "./session.js";
