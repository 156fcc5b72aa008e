// useVotes.ts - the user's own votes, and what is shown of them. SPDX-License-Identifier: Apache-2.0
import { useQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useSyncExternalStore } from "react";
import { useSession } from "./provider.js";
import { keys } from "./queries.js";
import type { Activity, ProjectView } from "./store.js";
import type { ProjectCounts, VoteType } from "./types.js";

export interface VoteActions {
  /** A click on a button: the vote that is shown is taken back, any other is set. Shown at once. */
  click(project_id: string, vote_type: "up" | "down"): void;
  /** Sets the vote, whatever is shown. */
  set(project_id: string, vote_type: VoteType): void;
  /** Counts that the page has from elsewhere, as the leaderboard; what is older than shown is ignored. */
  seed(counts: Iterable<ProjectCounts>): void;
}

export interface UseVotes extends VoteActions {
  /** Own votes of these projects are being loaded. */
  readonly isLoading: boolean;
}

/** The actions alone, for a card; they stay the same. */
export function useVoteActions(): VoteActions {
  const { store, votes } = useSession();
  return useMemo(
    () => ({
      click: (project_id, vote_type) => votes.click(project_id, vote_type),
      set: (project_id, vote_type) => votes.set(project_id, vote_type),
      seed: (counts) => store.applySnapshot(counts),
    }),
    [store, votes],
  );
}

/** Loads the user's votes of the projects on the screen, and gives the actions. It does not render on counts:
 * `useProject` does. */
export function useVotes(projectIds: readonly string[] = []): UseVotes {
  const { id, votes } = useSession();
  const actions = useVoteActions();
  const { isLoading } = useQuery({
    queryKey: [...keys.userVotes(id), projectIds],
    queryFn: async () => {
      await votes.load(projectIds);
      return projectIds.length;
    },
    enabled: projectIds.length > 0,
    staleTime: 60_000,
    retry: false, // the client does
    networkMode: "always",
  });
  return useMemo(() => ({ ...actions, isLoading }), [actions, isLoading]);
}

/** One project, for its card: renders only when this project changes. */
export function useProject(project_id: string): ProjectView {
  const { store } = useSession();
  const subscribe = useCallback((listener: () => void) => store.subscribe(project_id, listener), [store, project_id]);
  const get = () => store.get(project_id);
  return useSyncExternalStore(subscribe, get, get);
}

/** The user's newest requests first, at most 50. */
export function useActivity(): readonly Activity[] {
  const { store } = useSession();
  return useSyncExternalStore(store.subscribeActivities, store.activities, store.activities);
}
