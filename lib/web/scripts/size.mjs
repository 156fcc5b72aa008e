// size.mjs - what the layers weigh, minified and gzipped, without their peers; and the scripts of the page, where it is
// built. In bytes, as JSON. SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const page = join(root, "../../build/web");
const layers = { client: "src/client.ts", index: "src/index.ts", react: "src/react.ts" };
const external = ["react", "react/jsx-runtime", "@tanstack/react-query", "socket.io-client"];

const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

export async function sizeOf(layer) {
  const { outputFiles } = await build({
    absWorkingDir: root, entryPoints: [layers[layer]], bundle: true, minify: true, format: "esm", target: "es2022",
    write: false, jsx: "automatic", external,
  });
  return gzipped(outputFiles[0].contents);
}

function pageSize() {
  if (!existsSync(page)) return null;
  const scripts = readdirSync(page, { recursive: true }).filter((name) => name.endsWith(".js"));
  return scripts.reduce((sum, name) => sum + gzipped(readFileSync(join(page, name))), 0);
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const sizes = { page: pageSize() };
  for (const layer of Object.keys(layers)) sizes[layer] = await sizeOf(layer);
  console.log(JSON.stringify(sizes));
}
