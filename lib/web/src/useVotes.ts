// useVotes.ts - vote buttons in React, on TanStack Query. SPDX-License-Identifier: Apache-2.0
import { useMutation, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useSyncExternalStore } from "react";
import type { Activity } from "./caster.js";
import type { Problem } from "./client.js";
import { useVotesContext } from "./context.js";
import type { ProjectView } from "./store.js";

/** A problem of the server as TanStack Query has errors. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
    this.name = "ProblemError";
  }
}

const IDS_MAX = 200; // in one question

/** One project as it is to be shown; only who looks at it is drawn again. */
export function useProject(projectId: string): ProjectView {
  const { store } = useVotesContext();
  const subscribe = useCallback((listener: () => void) => store.subscribe(projectId, listener), [store, projectId]);
  return useSyncExternalStore(subscribe, () => store.get(projectId), () => store.get(projectId));
}

/** The user's own clicks, newest first. */
export function useActivity(): readonly Activity[] {
  const { caster } = useVotesContext();
  const subscribe = useCallback((listener: () => void) => caster.onActivity(listener), [caster]);
  return useSyncExternalStore(subscribe, () => caster.activity, () => caster.activity);
}

export interface UseVotes {
  /** Shown in the same frame; the last press wins, a press of the arrow that stands takes it back. */
  press: (projectId: string, arrow: "up" | "down") => void;
  /** The own votes have come, or why not. */
  isLoading: boolean;
  error: Error | null;
  refetch: () => void;
}

/** The user's votes on these projects. `user` keys the cache: another one's votes are others. */
export function useVotes(projectIds: readonly string[], user: string): UseVotes {
  const { client, store, caster } = useVotesContext();
  const ids = [...new Set(projectIds)].sort();
  const own = useQuery({
    queryKey: ["votepipe", "own", user, ids],
    enabled: ids.length > 0,
    queryFn: async ({ signal }) => {
      const votes = new Map<string, "up" | "down">();
      for (let at = 0; at < ids.length; at += IDS_MAX) {
        const part = ids.slice(at, at + IDS_MAX);
        const answer = await client.userVotes({ projectIds: part, limit: IDS_MAX }, { signal });
        if (!answer.ok) throw new ProblemError(answer.problem);
        for (const vote of answer.data.votes) votes.set(vote.project_id, vote.vote_type as "up" | "down");
      }
      return votes;
    },
  });
  useEffect(() => {
    if (own.data) for (const id of ids) store.setOwn(id, own.data.get(id) ?? null);
    // `ids` is what `own.data` was asked for
  }, [own.data, store]);
  const { mutate } = useMutation({
    networkMode: "always", // the client tries again by itself
    mutationFn: (cast: Promise<void>) => cast,
  });
  // pressed before it is handed over: shown in the same frame
  const press = useCallback((projectId: string, arrow: "up" | "down") => mutate(caster.press(projectId, arrow)), [caster, mutate]);
  return { press, isLoading: own.isPending && ids.length > 0, error: own.error, refetch: () => void own.refetch() };
}
