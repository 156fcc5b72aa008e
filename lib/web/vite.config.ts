// vite.config.ts - builds the demo page, with compressed copies beside each file. SPDX-License-Identifier: Apache-2.0
import react from "@vitejs/plugin-react";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const SMALLEST = 512;

/** NAME.br and NAME.gz, as vote-ingest --web-root takes them. */
function compressed(): Plugin {
  let directory = "";
  const compress = (at: string): void => {
    for (const name of readdirSync(at)) {
      const path = join(at, name);
      if (statSync(path).isDirectory()) compress(path);
      else if (/\.(html|js|css|svg|json)$/.test(name) && statSync(path).size >= SMALLEST) {
        const bytes = readFileSync(path);
        writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
        writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    }
  };
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => void (directory = join(config.root, config.build.outDir)),
    closeBundle: () => compress(directory),
  };
}

export default defineConfig({
  root: "demo",
  plugins: [react(), compressed()],
  build: {
    outDir: "../../../build/web",
    emptyOutDir: true,
    assetsInlineLimit: 0, // what is inlined a Content-Security-Policy would refuse
    modulePreload: { polyfill: false },
    target: "es2022",
    reportCompressedSize: false,
  },
});
