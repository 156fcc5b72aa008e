// store.ts - what is shown of each project: the committed counts, and the user's own clicks ahead of them.
// SPDX-License-Identifier: Apache-2.0
//
// Shown are the committed counts with the user's vote taken out as they have it, and put in as the user wants it. So a
// click shows at once, somebody else's vote moves the same number, and the commit of the click changes nothing.
import type { UserVote } from "./client.js";

export interface Counts {
  upvotes: number;
  downvotes: number;
  community_score: number;
  /** Grows with every change: what has an older one is dropped. */
  version: number;
}

export interface ProjectView {
  readonly id: string;
  /** False until counts have come. */
  readonly known: boolean;
  readonly upvotes: number;
  readonly downvotes: number;
  readonly voteCount: number;
  readonly communityScore: number;
  readonly version: number;
  readonly userVote: UserVote;
  /** Clicks that are not committed yet, those on their way to the server included. */
  readonly pending: number;
}

interface Entry {
  counts: Counts;
  known: boolean;
  settled: UserVote; // as the counts have it
  settledVersion: number;
  wanted: UserVote;
  pending: Set<string>;
  view: ProjectView;
  listeners: Set<() => void>;
}

const share = (vote: UserVote, kind: "up" | "down") => (vote === kind ? 1 : 0);

export class VoteStore {
  readonly #entries = new Map<string, Entry>();

  get(projectId: string): ProjectView {
    return this.#entry(projectId).view;
  }

  /** Calls `listener` behind each change of the project's view; returns how to end it. */
  subscribe(projectId: string, listener: () => void): () => void {
    const { listeners } = this.#entry(projectId);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Committed counts; false: they are older than what is there. */
  setCounts(projectId: string, counts: Counts): boolean {
    const entry = this.#entry(projectId);
    if (entry.known && counts.version < entry.counts.version) return false;
    entry.counts = { ...counts };
    entry.known = true;
    this.#changed(projectId, entry);
    return true;
  }

  /** The user's vote as of a commit, together with its counts. */
  setSettled(projectId: string, counts: Counts, vote: UserVote, requestId?: string): void {
    const entry = this.#entry(projectId);
    if (requestId) entry.pending.delete(requestId);
    if (counts.version >= entry.settledVersion) {
      entry.settled = vote;
      entry.settledVersion = counts.version;
    }
    if (!entry.known || counts.version >= entry.counts.version) {
      entry.counts = { ...counts };
      entry.known = true;
    }
    this.#changed(projectId, entry);
  }

  /** The user's vote as the server tells it, which is no news while clicks are on their way. */
  setOwn(projectId: string, vote: UserVote): void {
    const entry = this.#entry(projectId);
    if (entry.pending.size > 0 || entry.wanted !== entry.settled) return;
    entry.settled = entry.wanted = vote;
    this.#changed(projectId, entry);
  }

  /** What the user wants to stand, shown at once. */
  want(projectId: string, vote: UserVote): void {
    const entry = this.#entry(projectId);
    entry.wanted = vote;
    this.#changed(projectId, entry);
  }

  /** Back to what is committed: what was wanted was refused. */
  rollBack(projectId: string, vote?: UserVote): void {
    const entry = this.#entry(projectId);
    if (vote !== undefined) entry.settled = vote;
    entry.wanted = entry.settled;
    this.#changed(projectId, entry);
  }

  /** The server has taken a click, or (`isPending` false) it has come to its end. */
  setPending(projectId: string, requestId: string, isPending: boolean): void {
    const entry = this.#entry(projectId);
    if (isPending) entry.pending.add(requestId);
    else entry.pending.delete(requestId);
    this.#changed(projectId, entry);
  }

  isPending(projectId: string, requestId: string): boolean {
    return this.#entry(projectId).pending.has(requestId);
  }

  /** Another user: nothing is known of their votes. */
  forgetUser(): void {
    for (const [id, entry] of this.#entries) {
      entry.settled = entry.wanted = null;
      entry.settledVersion = 0;
      entry.pending.clear();
      this.#changed(id, entry);
    }
  }

  #entry(projectId: string): Entry {
    let entry = this.#entries.get(projectId);
    if (!entry) {
      const counts = { upvotes: 0, downvotes: 0, community_score: 0, version: 0 };
      entry = { counts, known: false, settled: null, settledVersion: 0, wanted: null, pending: new Set(), listeners: new Set(), view: undefined as never };
      entry.view = viewOf(projectId, entry);
      this.#entries.set(projectId, entry);
    }
    return entry;
  }

  #changed(projectId: string, entry: Entry): void {
    const view = viewOf(projectId, entry);
    if (isSame(view, entry.view)) return;
    entry.view = view;
    for (const listener of [...entry.listeners]) listener();
  }
}

function viewOf(id: string, { counts, known, settled, wanted, pending }: Entry): ProjectView {
  const upvotes = Math.max(0, counts.upvotes - share(settled, "up") + share(wanted, "up"));
  const downvotes = Math.max(0, counts.downvotes - share(settled, "down") + share(wanted, "down"));
  return {
    id, known, upvotes, downvotes, voteCount: upvotes - downvotes, communityScore: counts.community_score,
    version: counts.version, userVote: wanted, pending: pending.size,
  };
}

function isSame(a: ProjectView, b: ProjectView): boolean {
  return (Object.keys(a) as (keyof ProjectView)[]).every((key) => a[key] === b[key]);
}
