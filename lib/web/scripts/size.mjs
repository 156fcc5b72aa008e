// size.mjs - what a layer weighs, minified and gzipped, without its peers. SPDX-License-Identifier: Apache-2.0
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const layers = {
  "client alone": ["src/client.ts", 4096],
  "without a framework": ["src/index.ts"],
  "hooks, without their peers": ["src/react.ts"],
};
const root = new URL("..", import.meta.url).pathname;

for (const [name, [entry, limit]] of Object.entries(layers)) {
  const { outputFiles } = await build({
    absWorkingDir: root, entryPoints: [entry], bundle: true, minify: true, format: "esm", target: "es2022",
    write: false, jsx: "automatic",
    external: ["react", "react/jsx-runtime", "@tanstack/react-query", "socket.io-client"],
  });
  const [{ contents }] = outputFiles;
  const size = gzipSync(contents, { level: 9 }).length;
  console.log(`${name}: ${contents.length} bytes, ${size} gzip${limit ? ` (aim: under ${limit})` : ""}`);
  if (size >= (limit ?? Infinity)) process.exitCode = 1;
}
