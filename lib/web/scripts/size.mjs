// size.mjs - bytes of the client alone and of the page's scripts, minified and gzipped. SPDX-License-Identifier: Apache-2.0
import { build } from "esbuild";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const { outputFiles } = await build({ entryPoints: ["src/client.ts"], bundle: true, minify: true, format: "esm", write: false });
const assets = "../../build/web/assets";
const scripts = existsSync(assets) ? readdirSync(assets).filter((name) => name.endsWith(".js")) : [];
const page = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(`${assets}/${name}`), { level: 9 }).length, 0);
console.log(JSON.stringify({ client: gzipSync(outputFiles[0].contents, { level: 9 }).length, page: scripts.length ? page : null }));
