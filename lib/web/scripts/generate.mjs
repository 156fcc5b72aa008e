// generate.mjs - writes src/openapi.ts, the types of the API, from pipelines/openapi.json.
// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const document = new URL("../../../pipelines/openapi.json", import.meta.url);
export const target = new URL("../src/openapi.ts", import.meta.url);

export async function generate() {
  const types = astToString(await openapiTS(JSON.parse(await readFile(document, "utf8"))));
  return `// openapi.ts - generated from pipelines/openapi.json by \`npm run generate\`; not edited by hand.
// SPDX-License-Identifier: Apache-2.0
${types}`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) await writeFile(target, await generate());
