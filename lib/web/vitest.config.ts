import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["test/**/*.test.{ts,tsx}"], setupFiles: "test/setup.ts", testTimeout: 10_000 } });
