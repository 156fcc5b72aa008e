// What needs no framework. SPDX-License-Identifier: Apache-2.0
export * from "./caster.js";
export * from "./client.js";
export * from "./live.js";
export * from "./store.js";
