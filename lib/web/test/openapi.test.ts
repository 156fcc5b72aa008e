// openapi.test.ts - the types are those of the API. SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
// @ts-expect-error a script, without types
import { generate, target } from "../scripts/generate.mjs";

test("the generated types are those of the OpenAPI document", async () => {
  expect(await readFile(target, "utf8"), "stale: npm run generate").toBe(await generate());
});
