// vitest.config.ts - the package's tests. SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    environmentMatchGlobs: [["test/**/*.test.tsx", "jsdom"]],
    testTimeout: 10_000,
  },
});
