// setup.ts - Node 18 keeps its web crypto to itself; browsers, and Node from 20 on, have it.
// SPDX-License-Identifier: Apache-2.0
import { webcrypto } from "node:crypto";

if (!("crypto" in globalThis)) Object.defineProperty(globalThis, "crypto", { value: webcrypto });
