// caster.ts - clicks on their way to the server: one at a time a project, the last one wins.
// SPDX-License-Identifier: Apache-2.0
import type { Problem, UserVote, VoteClient } from "./client.js";
import type { VoteStore } from "./store.js";

/** One click as it goes: accepted by the server, committed in the database, announced to this page. Times in ms. */
export interface Activity {
  requestId: string;
  projectId: string;
  vote: UserVote;
  clickedAt: number;
  acceptedAt: number;
  committedAt?: number;
  announcedAt?: number;
  state: "accepted" | "committed" | "reconciled" | "superseded" | "failed";
}

export type Notice =
  | { kind: "refused"; projectId: string; problem: Problem }
  | { kind: "failed"; projectId: string; reason: string }
  | { kind: "reconciled"; projectId: string; reason: string };

export interface CasterOptions {
  client: VoteClient;
  store: VoteStore;
  notify?: (notice: Notice) => void;
  /** How long a commit may stay unannounced before its status is asked for. Preset 4,000 ms. */
  patienceMs?: number;
}

type Outcome = Required<Pick<Activity, "state" | "announcedAt">> & Pick<Activity, "committedAt">;

const ACTIVITY_KEPT = 20;
const EARLY_KEPT = 100;
const SENDING = ""; // stands for the requests that have no id yet

export class VoteCaster {
  readonly #options: CasterOptions;
  readonly #sending = new Set<string>(); // projects
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #listeners = new Set<() => void>();
  readonly #clickedAt = new Map<string, number>();
  readonly #early = new Map<string, Outcome>(); // announced before the answer to the click was here
  #activity: readonly Activity[] = [];
  #generation = 0; // of the user: an answer for the one before is not this one's

  constructor(options: CasterOptions) {
    this.#options = options;
  }

  /** A press of an arrow: pressed again, it takes the vote back. Shown before this returns. */
  press(projectId: string, arrow: "up" | "down"): Promise<void> {
    const { userVote } = this.#options.store.get(projectId);
    return this.set(projectId, userVote === arrow ? null : arrow);
  }

  /** Sets the vote; resolves when the server was told the last word on this project. */
  async set(projectId: string, vote: UserVote): Promise<void> {
    this.#options.store.want(projectId, vote);
    this.#clickedAt.set(projectId, Date.now());
    if (this.#sending.has(projectId)) return;
    const generation = this.#generation;
    this.#sending.add(projectId);
    this.#options.store.setPending(projectId, SENDING, true);
    try {
      await this.#drain(projectId);
    } finally {
      if (generation === this.#generation) {
        this.#sending.delete(projectId);
        this.#options.store.setPending(projectId, SENDING, false);
      }
    }
  }

  /** The user's own clicks, newest first. The list is a new one after each change. */
  get activity(): readonly Activity[] {
    return this.#activity;
  }

  onActivity(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What became of a request, from an announcement or from its status. */
  settled(requestId: string, state: Activity["state"], committedAt?: number): void {
    const outcome = { state, announcedAt: Date.now(), ...(committedAt === undefined ? {} : { committedAt }) };
    if (!this.#timers.has(requestId)) {
      if (this.#early.size >= EARLY_KEPT) this.#early.clear();
      this.#early.set(requestId, outcome);
      return;
    }
    clearTimeout(this.#timers.get(requestId));
    this.#timers.delete(requestId);
    this.#activity = this.#activity.map((item) => (item.requestId === requestId ? { ...item, ...outcome } : item));
    for (const listener of this.#listeners) listener();
  }

  /** Another user clicks from now on. */
  forgetUser(): void {
    this.#generation++;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#early.clear();
    this.#sending.clear();
    this.#activity = [];
    this.#options.store.forgetUser();
    for (const listener of this.#listeners) listener();
  }

  /** Sends what is wanted until nothing else is wanted. */
  async #drain(projectId: string): Promise<void> {
    const { client, store, notify } = this.#options;
    const generation = this.#generation;
    for (;;) {
      const wanted = store.get(projectId).userVote;
      const clickedAt = this.#clickedAt.get(projectId) ?? Date.now();
      const result = await client.vote(projectId, wanted ?? "none", { toggle: false });
      if (generation !== this.#generation) return;
      const isLast = store.get(projectId).userVote === wanted;
      if (result.ok) {
        this.#accepted(projectId, wanted, result.data.request_id, clickedAt);
      } else if (isLast) {
        store.rollBack(projectId);
        notify?.({ kind: "refused", projectId, problem: result.problem });
      }
      if (isLast) return;
    }
  }

  #accepted(projectId: string, vote: UserVote, requestId: string, clickedAt: number): void {
    const early = this.#early.get(requestId);
    const item: Activity = { requestId, projectId, vote, clickedAt, acceptedAt: Date.now(), state: "accepted", ...early };
    this.#activity = [item, ...this.#activity].slice(0, ACTIVITY_KEPT);
    if (early) {
      this.#early.delete(requestId);
      if (early.state === "failed") this.#options.store.rollBack(projectId);
      if (early.state === "reconciled") void this.refetch(projectId);
    } else {
      this.#options.store.setPending(projectId, requestId, true);
      this.#watch(projectId, requestId);
    }
    for (const listener of this.#listeners) listener();
  }

  /** Asks for the status of what nobody announces: the live connection may be away. */
  #watch(projectId: string, requestId: string): void {
    const timer = setTimeout(() => void this.#ask(projectId, requestId), this.#options.patienceMs ?? 4_000);
    this.#timers.set(requestId, timer);
  }

  async #ask(projectId: string, requestId: string): Promise<void> {
    const { client, store, notify } = this.#options;
    const answer = await client.status(requestId);
    if (!this.#timers.has(requestId)) return; // announced meanwhile
    if (!answer.ok || answer.data.state === "pending") {
      this.#watch(projectId, requestId);
      return;
    }
    const { state, committed_at, error } = answer.data;
    this.settled(requestId, state as Activity["state"], committed_at ? Date.parse(committed_at) : undefined);
    store.setPending(projectId, requestId, false);
    if (state === "failed") {
      store.rollBack(projectId);
      notify?.({ kind: "failed", projectId, reason: error ?? "it could not be counted" });
    } else {
      await this.refetch(projectId);
    }
  }

  /** The authoritative counts and the user's own vote. */
  async refetch(projectId: string): Promise<void> {
    const { client, store } = this.#options;
    const generation = this.#generation;
    const [project, own] = await Promise.all([client.project(projectId), client.userVotes({ projectIds: [projectId] })]);
    if (generation !== this.#generation) return;
    const vote = own.ok ? own.data.votes.find((item) => item.project_id === projectId)?.vote_type ?? null : undefined;
    if (!project.ok || vote === undefined) return;
    if (store.get(projectId).pending > 0) store.setCounts(projectId, project.data);
    else store.setSettled(projectId, project.data, vote);
  }
}
