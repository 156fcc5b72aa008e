// votes.ts - sends the clicks that the store holds, and sees to it that each comes to an end.
//
// One request a project is under way; clicks meanwhile become one, the last. A commit is told by an own
// event; where none comes (no socket, or it was away), the request's status is asked for.
// SPDX-License-Identifier: Apache-2.0
import { idempotencyKey, type Client, type Problem, type Result } from "./client.js";
import { afterNextPaint } from "./frames.js";
import type { Click, Notify, VoteStore } from "./store.js";
import type { FailedEvent, OwnEvent, UserVote, VoteAnswer, VoteType } from "./types.js";

export interface VotesOptions {
  readonly client: Pick<Client, "vote" | "status" | "project" | "userVotes">;
  readonly store: VoteStore;
  readonly notify?: Notify | undefined;
  /** Gets authoritative counts and votes, after the server has corrected the page. */
  readonly refetch?: ((project_id: string) => void) | undefined;
  /** Sends a click; client.vote when absent. */
  readonly send?: ((click: Click) => Promise<Result<VoteAnswer>>) | undefined;
  /** How long after its answer a request's status is asked for; then twice as long, up to 15 s. */
  readonly settleMs?: number | undefined;
  /** How often, and how long, a click waits when the user votes too fast; 5 times, 15 s. */
  readonly maxLimited?: number | undefined;
  readonly maxLimitedMs?: number | undefined;
}

const SETTLE_MS = 3000;
const SETTLE_MAX_MS = 15_000;
const BATCH = 100;

/** The server may have taken these votes all the same. */
const isUnsure = ({ kind }: Problem): boolean =>
  ["network", "timeout", "in-flight", "unexpected", "aborted"].includes(kind);

export class Votes {
  readonly #options: VotesOptions;
  readonly #polls = new Map<string, ReturnType<typeof setTimeout>>();
  #pause: ReturnType<typeof setTimeout> | undefined;
  #pausedUntil = 0;
  #asked: Map<string, ((outcome: Promise<void>) => void)[]> | null = null;

  constructor(options: VotesOptions) {
    this.#options = options;
  }

  /** The vote that is shown is taken back, any other is set. */
  click(project_id: string, vote_type: "up" | "down"): void {
    const shown = this.#options.store.get(project_id).user_vote;
    this.set(project_id, shown === vote_type ? "none" : vote_type);
  }

  /** Shown in the next frame and sent right behind it: to send takes the page as long as to show. */
  set(project_id: string, vote_type: VoteType): void {
    this.#options.store.want(project_id, vote_type, idempotencyKey());
    afterNextPaint(() => this.#pump(project_id));
  }

  /** What a click is sent as. A limit is not waited for here: the newest click is to go then. */
  static send(client: Pick<Client, "vote">, click: Click): Promise<Result<VoteAnswer>> {
    return client.vote(click.project_id, click.vote_type, {
      idempotencyKey: click.key,
      retry: (problem) => problem.kind !== "rate-limited",
    });
  }

  onOwn(event: OwnEvent): void {
    const { store, notify, refetch } = this.#options;
    store.applyOwn(event);
    if (event.reason === undefined) return;
    notify?.({ kind: "reconciled", reason: event.reason, ...ofEvent(event) });
    refetch?.(event.project_id);
  }

  onFailed(event: FailedEvent): void {
    const { store, notify, refetch } = this.#options;
    store.applyFailed(event);
    notify?.({ kind: "failed", reason: event.reason, ...ofEvent(event) });
    refetch?.(event.project_id);
  }

  /** Own events may have been missed: what is open is asked for. */
  catchUp(): void {
    for (const project_id of this.#options.store.uncommitted()) this.#poll(project_id, 0);
  }

  /** Loads the user's votes; what is asked for in one turn goes out as one question for each 100 projects. */
  async load(projectIds: readonly string[]): Promise<void> {
    if (!projectIds.length) return;
    if (!this.#asked) {
      this.#asked = new Map();
      queueMicrotask(() => this.#ask());
    }
    const asked = this.#asked;
    await Promise.all(
      projectIds.map((project_id) =>
        new Promise<void>((resolve) => asked.set(project_id, [...(asked.get(project_id) ?? []), resolve])),
      ),
    );
  }

  /** Ends the timers. What is being sent goes on: a click is not lost with its page. */
  stop(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    for (const timer of this.#polls.values()) clearTimeout(timer);
    this.#polls.clear();
  }

  #pump(project_id: string): void {
    if (Date.now() < this.#pausedUntil) {
      this.#resumeLater();
      return;
    }
    const click = this.#options.store.next(project_id);
    if (click) void this.#run(click);
  }

  async #run(click: Click): Promise<void> {
    const { store, client, send = (one) => Votes.send(client, one) } = this.#options;
    const result = await send(click);
    if (result.ok) {
      store.accept(click, result.data);
      this.#watch(click.project_id);
    } else if (!this.#waitsForLimit(click, result.problem)) {
      this.#reject(click, result.problem);
    }
    this.#pump(click.project_id);
  }

  /** The limit is the user's, over all projects: so all wait. False when it is not worth it. */
  #waitsForLimit(click: Click, problem: Problem): boolean {
    const { store, notify, maxLimited = 5, maxLimitedMs = 15_000 } = this.#options;
    if (problem.kind !== "rate-limited" || click.limited >= maxLimited) return false;
    const retryAfterMs = problem.retryAfterMs ?? 1000;
    if (retryAfterMs > maxLimitedMs) return false;
    store.retreat(click);
    const jittered = retryAfterMs * (1 + Math.random() / 10);
    this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + jittered);
    const { project_id, vote_type } = click;
    if (click.limited === 0) notify?.({ kind: "waiting", project_id, vote_type, retryAfterMs });
    return true;
  }

  #resumeLater(): void {
    if (this.#pause !== undefined) return;
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      for (const project_id of this.#options.store.waiting()) this.#pump(project_id);
    }, Math.max(0, this.#pausedUntil - Date.now()) + 1);
  }

  #reject(click: Click, problem: Problem): void {
    const { store, notify, refetch } = this.#options;
    const { project_id, vote_type } = click;
    store.reject(click, problem, isUnsure(problem));
    notify?.({ kind: "rejected", project_id, vote_type, problem });
    if (isUnsure(problem)) refetch?.(project_id);
  }

  #watch(project_id: string): void {
    if (this.#options.store.accepted(project_id)) this.#poll(project_id, this.#options.settleMs ?? SETTLE_MS);
  }

  #poll(project_id: string, ms: number): void {
    clearTimeout(this.#polls.get(project_id));
    const timer = setTimeout(() => void this.#settle(project_id, ms, timer), ms);
    this.#polls.set(project_id, timer);
  }

  async #settle(project_id: string, ms: number, timer: ReturnType<typeof setTimeout>): Promise<void> {
    const click = this.#options.store.accepted(project_id);
    if (click) await this.#askEnd(project_id, click.request_id!);
    if (this.#polls.get(project_id) !== timer) return;
    this.#polls.delete(project_id);
    const { settleMs = SETTLE_MS } = this.#options;
    if (this.#options.store.accepted(project_id))
      this.#poll(project_id, Math.min(Math.max(2 * ms, settleMs), SETTLE_MAX_MS));
  }

  /** The status of a request, told as the event that was missed. */
  async #askEnd(project_id: string, request_id: string): Promise<void> {
    const { client, store } = this.#options;
    const status = await client.status(request_id);
    if (!status.ok || status.data.state === "pending") return;
    const [votes, counts] = await Promise.all([
      client.userVotes({ projectIds: [project_id] }),
      client.project(project_id),
    ]);
    const isOpen = store.accepted(project_id)?.request_id === request_id;
    if (!isOpen || !votes.ok || !counts.ok) return;
    const user_vote = votes.data.votes.find((vote) => vote.project_id === project_id)?.vote_type ?? null;
    const { state, error, committed_at, action } = status.data;
    if (state === "failed") {
      this.onFailed({ project_id, request_id, user_vote, reason: error ?? "the vote failed" });
      return;
    }
    this.onOwn({
      ...counts.data, project_id, request_id, user_vote, action, coalesced: 1,
      committed_at: committed_at ?? "",
      ...(state !== "committed" && { reason: error ?? `the vote was ${state}` }),
    });
  }

  #ask(): void {
    const asked = this.#asked ?? new Map();
    this.#asked = null;
    const ids = [...asked.keys()];
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.slice(at, at + BATCH);
      const outcome = this.#loadBatch(batch);
      for (const id of batch) for (const resolve of asked.get(id) ?? []) resolve(outcome);
    }
  }

  async #loadBatch(projectIds: readonly string[]): Promise<void> {
    const { client, store } = this.#options;
    const mark = store.mark();
    const result = await client.userVotes({ projectIds, limit: BATCH });
    if (!result.ok) throw new LoadError(result.problem);
    const votes = new Map<string, UserVote>(result.data.votes.map((vote) => [vote.project_id, vote.vote_type]));
    store.setUserVotes(projectIds, votes, mark);
  }
}

/** What `load` rejects with; the problem in it is a value. */
export class LoadError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
    this.name = "LoadError";
  }
}

function ofEvent({ project_id, request_id, user_vote }: FailedEvent | OwnEvent) {
  return { project_id, request_id, user_vote };
}
