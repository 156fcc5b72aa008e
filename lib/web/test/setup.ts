// Node 18 keeps from the global scope what every browser has there. SPDX-License-Identifier: Apache-2.0
import { webcrypto } from "node:crypto";

if (!("crypto" in globalThis)) Object.defineProperty(globalThis, "crypto", { value: webcrypto });
