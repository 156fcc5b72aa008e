// vitest.config.ts - the package's tests. SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    setupFiles: "test/setup.ts",
    pool: "threads",
    testTimeout: 20_000,
  },
});
