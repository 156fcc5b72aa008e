// live.ts - what vote-notify tells: counts as they are committed, and what became of the user's own votes.
// SPDX-License-Identifier: Apache-2.0
import { io, type Socket } from "socket.io-client";
import type { Activity, Notice, VoteCaster } from "./caster.js";
import type { UserVote } from "./client.js";
import type { Counts, VoteStore } from "./store.js";

export type LiveStatus = "off" | "connecting" | "live" | "reconnecting";

/** vote:cast, vote:removed and vote:reconciled; the last three only of the user's own votes. */
export interface CommitEvent extends Counts {
  project_id: string;
  committed_at: string;
  request_id?: string;
  user_vote?: UserVote;
  reason?: string;
}

export interface FailedEvent {
  request_id: string;
  project_id: string;
  reason: string;
  user_vote: UserVote;
}

export interface LiveOptions {
  /** Where vote-notify is. */
  url: string;
  store: VoteStore;
  caster?: VoteCaster;
  /** Names the user, for their own outcomes; without it only public counts come. */
  token?: () => string | Promise<string>;
  notify?: (notice: Notice) => void;
  /** For tests and special networks; preset: socket.io-client's. */
  transports?: string[];
}

const SUBSCRIBE_MAX = 100; // ids in one call

type Answer = { ok: boolean; projects?: Record<string, Counts> };

/** Runs `work` before the next frame; a page that is hidden has none. */
function beforeFrame(work: () => void): void {
  const isHidden = typeof document === "undefined" || document.hidden || typeof requestAnimationFrame === "undefined";
  if (isHidden) setTimeout(work, 16);
  else requestAnimationFrame(work);
}

export class LiveUpdates {
  readonly #options: LiveOptions;
  readonly #socket: Socket;
  readonly #watched = new Map<string, number>(); // how many parts of the page show it
  readonly #listeners = new Set<() => void>();
  readonly #newest = new Map<string, CommitEvent>();
  readonly #asked = new Set<string>();
  #status: LiveStatus = "connecting";
  #frameIsDue = false;
  #askIsDue = false;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#socket = io(options.url, {
      auth: (give) => void this.#credentials().then(give),
      reconnectionDelay: 500,
      reconnectionDelayMax: 5_000,
      ...(options.transports ? { transports: options.transports } : {}),
    });
    this.#listen();
  }

  get status(): LiveStatus {
    return this.#status;
  }

  onStatus(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Keeps these projects' counts live until the function returned is called. */
  watch(projectIds: readonly string[]): () => void {
    const ids = [...new Set(projectIds)];
    for (const id of ids) this.#watched.set(id, (this.#watched.get(id) ?? 0) + 1);
    this.#askSoon();
    return () => {
      for (const id of ids) {
        const left = (this.#watched.get(id) ?? 1) - 1;
        if (left > 0) this.#watched.set(id, left);
        else this.#watched.delete(id);
      }
      this.#askSoon();
    };
  }

  close(): void {
    this.#socket.close();
    this.#setStatus("off");
  }

  async #credentials(): Promise<Record<string, string>> {
    try {
      return this.#options.token ? { token: await this.#options.token() } : {};
    } catch {
      return {}; // public counts are better than none
    }
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("connect", () => {
      this.#asked.clear();
      this.#setStatus("live");
      this.#askSoon();
    });
    socket.on("disconnect", (reason) => {
      this.#setStatus(reason === "io client disconnect" ? "off" : "reconnecting");
      if (reason === "io server disconnect") socket.connect(); // a token that is over, or a restart
    });
    socket.on("connect_error", () => {
      if (this.#status !== "connecting") this.#setStatus("reconnecting");
      if (!socket.active) setTimeout(() => socket.connect(), 2_000); // refused, and not for lack of a network
    });
    socket.on("vote:cast", (event: CommitEvent) => this.#committed(event, "committed"));
    socket.on("vote:removed", (event: CommitEvent) => this.#committed(event, "committed"));
    socket.on("vote:reconciled", (event: CommitEvent) => this.#reconciled(event));
    socket.on("vote:failed", (event: FailedEvent) => this.#failed(event));
  }

  #setStatus(status: LiveStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Others' votes wait for the frame, the newest of each project; one's own come in order. */
  #committed(event: CommitEvent, state: Activity["state"]): void {
    const { store, caster } = this.#options;
    if (event.request_id !== undefined) {
      store.setSettled(event.project_id, event, event.user_vote ?? null, event.request_id);
      caster?.settled(event.request_id, state, Date.parse(event.committed_at));
      return;
    }
    const newest = this.#newest.get(event.project_id);
    if (newest && newest.version >= event.version) return;
    this.#newest.set(event.project_id, event);
    if (this.#frameIsDue) return;
    this.#frameIsDue = true;
    beforeFrame(() => this.#flush());
  }

  #flush(): void {
    this.#frameIsDue = false;
    const events = [...this.#newest.values()];
    this.#newest.clear();
    for (const event of events) this.#options.store.setCounts(event.project_id, event);
  }

  #reconciled(event: CommitEvent): void {
    const { caster, notify } = this.#options;
    this.#committed(event, "reconciled");
    this.#rollBack(event.project_id, event.user_vote ?? null);
    notify?.({ kind: "reconciled", projectId: event.project_id, reason: event.reason ?? "" });
    void caster?.refetch(event.project_id);
  }

  #failed(event: FailedEvent): void {
    const { store, caster, notify } = this.#options;
    store.setPending(event.project_id, event.request_id, false);
    this.#rollBack(event.project_id, event.user_vote ?? null);
    caster?.settled(event.request_id, "failed");
    notify?.({ kind: "failed", projectId: event.project_id, reason: event.reason });
  }

  /** Shows the vote that stands, unless a newer click is on its way. */
  #rollBack(projectId: string, vote: UserVote): void {
    const { store } = this.#options;
    if (store.get(projectId).pending === 0) store.rollBack(projectId, vote);
  }

  #askSoon(): void {
    if (this.#askIsDue) return;
    this.#askIsDue = true;
    queueMicrotask(() => {
      this.#askIsDue = false;
      if (this.#socket.connected) this.#ask();
    });
  }

  /** Tells the server what has come onto the screen and what has left it. */
  #ask(): void {
    const gone = [...this.#asked].filter((id) => !this.#watched.has(id));
    const come = [...this.#watched.keys()].filter((id) => !this.#asked.has(id));
    for (const id of gone) this.#asked.delete(id);
    for (const id of come) this.#asked.add(id);
    for (const ids of inParts(gone)) this.#socket.emit("unsubscribe", { project_ids: ids });
    for (const ids of inParts(come)) this.#subscribe(ids);
  }

  #subscribe(ids: string[]): void {
    this.#socket.emit("subscribe", { project_ids: ids }, (answer: Answer) => {
      if (!answer.ok) {
        for (const id of ids) this.#asked.delete(id);
        setTimeout(() => this.#askSoon(), 2_000);
        return;
      }
      for (const [id, counts] of Object.entries(answer.projects ?? {})) this.#options.store.setCounts(id, counts);
    });
  }
}

function inParts(ids: string[]): string[][] {
  const parts: string[][] = [];
  for (let at = 0; at < ids.length; at += SUBSCRIBE_MAX) parts.push(ids.slice(at, at + SUBSCRIBE_MAX));
  return parts;
}
