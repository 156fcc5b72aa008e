// realtime.ts - subscribes what is on the screen, over a Socket.IO client that is handed in.
//
// The page counts as live when what it looks at has been answered since the connection came up: only then
// is nothing on it older than the server.
// SPDX-License-Identifier: Apache-2.0
import type { LiveStatus } from "./store.js";
import type { FailedEvent, OwnEvent, ProjectCounts, PublicEvent, SubscribeAnswer } from "./types.js";

/** What is used of a `Socket` of socket.io-client. */
export interface SocketLike {
  readonly connected: boolean;
  /** False: the client does not come back by itself. */
  readonly active: boolean;
  connect(): unknown;
  disconnect(): unknown;
  on(event: string, listener: (...args: any[]) => void): unknown;
  timeout(ms: number): { emit(event: string, ...args: any[]): unknown };
}

export interface RealTimeOptions {
  readonly socket: SocketLike;
  onPublic(event: PublicEvent): void;
  onOwn(event: OwnEvent): void;
  onFailed(event: FailedEvent): void;
  onSnapshot(counts: ProjectCounts[]): void;
  /** The page is live; `again` when it was before, and may have missed own events. */
  onLive(again: boolean): void;
  /** How many projects the server lets one client look at; 500. */
  readonly maxProjects?: number | undefined;
}

const PROJECT_ID = /^[A-Za-z0-9._:-]{1,64}$/;
const GATHER_MS = 10;
const ACK_MS = 5000;
const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 15_000;

export class RealTime {
  readonly #options: RealTimeOptions;
  readonly #max: number;
  /** How many look at each project. */
  readonly #wanted = new Map<string, number>();
  readonly #joining = new Set<string>();
  readonly #joined = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #status: LiveStatus = "off";
  #wasLive = false;
  #started = false;
  /** Answers to an earlier connection's questions are none. */
  #connection = 0;
  #failures = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #connectTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RealTimeOptions) {
    this.#options = options;
    this.#max = options.maxProjects ?? 500;
    const { socket } = options;
    socket.on("connect", () => this.#onConnect());
    socket.on("disconnect", () => this.#onAway());
    socket.on("connect_error", () => this.#onAway());
    const onCounts = (event: PublicEvent | OwnEvent) =>
      "request_id" in event ? options.onOwn(event) : options.onPublic(event);
    socket.on("vote:cast", onCounts);
    socket.on("vote:removed", onCounts);
    socket.on("vote:reconciled", (event: OwnEvent) => options.onOwn(event));
    socket.on("vote:failed", (event: FailedEvent) => options.onFailed(event));
  }

  readonly status = (): LiveStatus => this.#status;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  start(): void {
    this.#started = true;
    this.#setStatus("connecting");
    this.#options.socket.connect();
  }

  stop(): void {
    this.#started = this.#wasLive = false;
    clearTimeout(this.#connectTimer);
    this.#options.socket.disconnect();
    this.#forgetConnection();
    this.#setStatus("off");
  }

  /** Looks at the projects until the returned function is called. What is no id is left out: the server would
   * refuse the others with it. */
  watch(projectIds: Iterable<string>): () => void {
    const ids = new Set([...projectIds].filter((id) => PROJECT_ID.test(id)));
    for (const id of ids) this.#wanted.set(id, (this.#wanted.get(id) ?? 0) + 1);
    this.#flushIn(GATHER_MS);
    return () => {
      for (const id of ids) this.#release(id);
      ids.clear();
      this.#flushIn(GATHER_MS);
    };
  }

  #release(id: string): void {
    const left = (this.#wanted.get(id) ?? 1) - 1;
    if (left) this.#wanted.set(id, left);
    else this.#wanted.delete(id);
  }

  #setStatus(status: LiveStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    for (const listener of [...this.#listeners]) listener();
  }

  #onConnect(): void {
    this.#forgetConnection();
    this.#failures = 0;
    this.#flush();
  }

  /** The server may have ended it, or refused the token: then nobody but us comes back. */
  #onAway(): void {
    this.#forgetConnection();
    if (!this.#started) return;
    this.#setStatus(this.#wasLive ? "reconnecting" : "connecting");
    if (this.#options.socket.active) return;
    clearTimeout(this.#connectTimer);
    this.#connectTimer = setTimeout(() => this.#options.socket.connect(), this.#backoffMs());
  }

  #backoffMs(): number {
    const ms = Math.min(BACKOFF_MS * 2 ** this.#failures++, BACKOFF_MAX_MS);
    return ms * (0.5 + Math.random() / 2);
  }

  #forgetConnection(): void {
    this.#connection++;
    this.#joining.clear();
    this.#joined.clear();
    clearTimeout(this.#flushTimer);
    clearTimeout(this.#retryTimer);
    this.#flushTimer = this.#retryTimer = undefined;
  }

  /** What comes and goes in one go, as a scrolled list does, is one message. */
  #flushIn(ms: number): void {
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      this.#flush();
    }, ms);
  }

  #flush(): void {
    if (!this.#options.socket.connected) return;
    const gone = [...this.#joined].filter((id) => !this.#wanted.has(id));
    for (const ids of this.#batches(gone)) this.#leave(ids);
    const room = this.#max - this.#joined.size - this.#joining.size;
    const missing = [...this.#wanted.keys()].filter((id) => !this.#joined.has(id) && !this.#joining.has(id));
    for (const ids of this.#batches(missing.slice(0, room))) this.#join(ids);
    this.#checkLive();
  }

  #batches(ids: string[]): string[][] {
    const batches = [];
    for (let at = 0; at < ids.length; at += this.#max) batches.push(ids.slice(at, at + this.#max));
    return batches;
  }

  #leave(ids: string[]): void {
    for (const id of ids) this.#joined.delete(id);
    this.#options.socket.timeout(ACK_MS).emit("unsubscribe", { project_ids: ids }, () => {});
  }

  #join(ids: string[]): void {
    const connection = this.#connection;
    for (const id of ids) this.#joining.add(id);
    const onAnswer = (error: Error | null, answer?: SubscribeAnswer) => {
      if (connection !== this.#connection) return;
      for (const id of ids) this.#joining.delete(id);
      if (error || !answer?.ok) {
        this.#retryTimer ??= setTimeout(() => {
          this.#retryTimer = undefined;
          this.#flush();
        }, this.#backoffMs());
        return;
      }
      for (const id of ids) this.#joined.add(id);
      const counts = Object.entries(answer.projects ?? {}).map(([project_id, one]) => ({ project_id, ...one }));
      this.#options.onSnapshot(counts);
      this.#flush();
    };
    this.#options.socket.timeout(ACK_MS).emit("subscribe", { project_ids: ids }, onAnswer);
  }

  #checkLive(): void {
    if (this.#status === "live" || this.#joining.size) return;
    const again = this.#wasLive;
    this.#wasLive = true;
    this.#failures = 0;
    this.#setStatus("live");
    this.#options.onLive(again);
  }
}
