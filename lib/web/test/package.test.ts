// package.test.ts - what the package promises as a whole. SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
// @ts-expect-error a script, without types
import { generate, target } from "../scripts/generate.mjs";
// @ts-expect-error a script, without types
import { sizeOf } from "../scripts/size.mjs";

test("the generated types are those of the OpenAPI document", async () => {
  expect(await readFile(target, "utf8"), "stale: npm run generate").toBe(await generate());
});

test("the client alone is under 4 KiB", async () => {
  expect(await sizeOf("client")).toBeLessThan(4096);
});

/** Every module that a file imports, itself and what it imports. */
async function imports(file: string, seen = new Set<string>()): Promise<Set<string>> {
  const text = await readFile(new URL(`../src/${file}`, import.meta.url), "utf8");
  for (const [, from = ""] of text.matchAll(/^(?:import|export)(?! type)[^;]*? from "([^"]+)"/gm)) {
    if (seen.has(from)) continue;
    seen.add(from);
    if (from.startsWith("./")) await imports(from.slice(2).replace(/js$/, "ts"), seen);
  }
  return seen;
}

test("neither the client nor the layers under the hooks need a framework, or any package", async () => {
  expect([...(await imports("client.ts"))]).toEqual([]);
  expect([...(await imports("index.ts"))].filter((from) => !from.startsWith("./"))).toEqual([]);
});
