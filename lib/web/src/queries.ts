// queries.ts - TanStack queries over the client. SPDX-License-Identifier: Apache-2.0
import { queryOptions } from "@tanstack/react-query";
import type { Client, Problem, Result } from "./client.js";

/** What a query fails with: the problem as a value, in an Error as TanStack Query wants it. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
    this.name = "ProblemError";
  }
}

export function unwrap<T>(result: Result<T> | { ok: true; data: T } | { ok: false; problem: Problem }): T {
  if (result.ok) return result.data;
  throw new ProblemError(result.problem);
}

/** The keys, to invalidate by. */
export const keys = {
  all: ["votepipe"] as const,
  project: (project_id: string) => ["votepipe", "project", project_id] as const,
  userVotes: (session: number) => ["votepipe", "userVotes", session] as const,
  vote: () => ["votepipe", "vote"] as const,
  leaderboard: () => ["votepipe", "leaderboard"] as const,
  metrics: () => ["votepipe", "metrics"] as const,
};

// the client retries by itself, and knows what the server has asked for
const own = { retry: false, networkMode: "always" } as const;

export const leaderboardQuery = (client: Client, limit = 20) =>
  queryOptions({
    ...own,
    queryKey: [...keys.leaderboard(), limit] as const,
    queryFn: async ({ signal }) => unwrap(await client.leaderboard(limit, { signal })),
  });

export const metricsQuery = (client: Client) =>
  queryOptions({
    ...own,
    queryKey: keys.metrics(),
    queryFn: async ({ signal }) => unwrap(await client.metrics({ signal })),
  });

export const projectQuery = (client: Client, project_id: string) =>
  queryOptions({
    ...own,
    queryKey: keys.project(project_id),
    queryFn: async ({ signal }) => unwrap(await client.project(project_id, { signal })),
  });
