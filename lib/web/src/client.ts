// client.ts - the votepipe API over fetch, without a dependency.
//
// What the server says, and what the network does, is a value: no call throws or rejects.
// SPDX-License-Identifier: Apache-2.0
import type {
  LeaderboardEntry, Metrics, Project, TokenProvider, UserVotesPage, VoteAnswer, VoteStatus, VoteType,
} from "./types.js";

export type * from "./types.js";

/** RFC 9457, as the server sends it. */
interface Details {
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  readonly request_id?: string;
}

interface Local {
  readonly status: 0;
  readonly detail: string;
  readonly cause?: unknown;
}

const kinds = {
  400: "malformed",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  409: "in-flight",
  413: "too-large",
  415: "not-json",
  422: "key-reused",
  429: "rate-limited",
  503: "unavailable",
} as const;

/** Why a call came to nothing. `kind` tells them apart. */
export type Problem =
  | (Details & { readonly kind: "malformed"; readonly errors: readonly { field: string; detail: string }[] })
  | (Details & {
      readonly kind: "rate-limited" | "unavailable" | "in-flight";
      readonly retryAfterMs: number | null;
    })
  | (Details & {
      readonly kind: "unauthorized" | "forbidden" | "not-found" | "too-large" | "not-json" | "key-reused";
    })
  /** Another status, or an answer that is not of this API. */
  | (Details & { readonly kind: "unexpected" })
  /** No answer: nothing is known about what became of the call. */
  | (Local & { readonly kind: "network" | "timeout" })
  | (Local & { readonly kind: "aborted" })
  /** The token provider failed; nothing was sent. */
  | (Local & { readonly kind: "token" });

export type Result<T> =
  | { readonly ok: true; readonly data: T; readonly status: number; readonly headers: Headers }
  | { readonly ok: false; readonly problem: Problem };

/** A project, and whether the server said that it has not changed since it was last asked for. */
export type ProjectResult =
  | { readonly ok: true; readonly data: Project; readonly notModified: boolean }
  | { readonly ok: false; readonly problem: Problem };

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Asked before each retry, with the number of tries so far; false ends the call. */
  readonly retry?: ((problem: Problem, tries: number) => boolean) | undefined;
}

export interface VoteOptions extends CallOptions {
  /** False (as it comes here) sets the vote; true takes the same vote back, as the bare API does. */
  readonly toggle?: boolean | undefined;
  readonly variant?: string | undefined;
  /** One for each click; made when absent, and kept over the retries of this call. */
  readonly idempotencyKey?: string | undefined;
}

export interface ClientOptions {
  /** Where the API is, `https://votes.example`; absent: where the page comes from. */
  readonly baseUrl?: string;
  /** Asked at the first call, and once more when the server answers 401. */
  readonly token?: TokenProvider;
  readonly fetch?: typeof fetch;
  /** Longest time for one try; 10 s. */
  readonly timeoutMs?: number;
  /** Tries of one call; 5. */
  readonly maxTries?: number;
  /** Longest wait before a retry; a longer `Retry-After` ends the call; 10 s. */
  readonly maxWaitMs?: number;
}

export interface Client {
  vote(project_id: string, vote_type: VoteType, options?: VoteOptions): Promise<Result<VoteAnswer>>;
  status(request_id: string, options?: CallOptions): Promise<Result<VoteStatus>>;
  metrics(options?: CallOptions): Promise<Result<Metrics>>;
  userVotes(
    query?: { limit?: number | undefined; cursor?: string | undefined; projectIds?: readonly string[] | undefined },
    options?: CallOptions,
  ): Promise<Result<UserVotesPage>>;
  /** Asks with `If-None-Match` when it has asked before. */
  project(project_id: string, options?: CallOptions): Promise<ProjectResult>;
  leaderboard(limit?: number, options?: CallOptions): Promise<Result<readonly LeaderboardEntry[]>>;
}

const PROJECTS_KEPT = 500;
const BACKOFF_MS = 200;

export function idempotencyKey(): string {
  // randomUUID is missing on pages that come over plain HTTP
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

function retryAfterMs(headers: Headers): number | null {
  const text = headers.get("Retry-After");
  if (!text) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(ms, 0);
}

async function problemOf(response: Response): Promise<Problem> {
  const { status, headers } = response;
  // a body that was read before was not JSON; one that breaks off throws, as the network does
  const said = (response.bodyUsed ? null : parsed(await response.text())) ?? {};
  return {
    type: "about:blank",
    title: response.statusText,
    detail: `the server answered ${status}`,
    ...said,
    status,
    kind: kinds[status as keyof typeof kinds] ?? "unexpected",
    ...(status === 400 && { errors: said.errors ?? [] }),
    ...([409, 429, 503].includes(status) && { retryAfterMs: retryAfterMs(headers) }),
  };
}

function local(kind: "network" | "timeout" | "aborted" | "token", detail: string, cause?: unknown): Problem {
  return { kind, status: 0, detail, cause };
}

/** The object in a text, null when there is none: a portal's page, say. */
function parsed(text: string): any {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/** Gateways answer these when what is behind them is away. */
const isTransient = ({ kind, status }: Problem): boolean =>
  ["rate-limited", "unavailable", "in-flight", "network", "timeout"].includes(kind) || status === 502 || status === 504;

/** Equal jitter: half of the wait is certain, so that a crowd does not come back as one. */
function waitMs(problem: Problem, tries: number): number {
  const asked = "retryAfterMs" in problem ? problem.retryAfterMs : null;
  const backoff = BACKOFF_MS * 2 ** (tries - 1);
  return asked ?? backoff * (0.5 + Math.random() / 2);
}

/** False when the signal ended the sleep. */
function sleep(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const end = (slept: boolean) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      resolve(slept);
    };
    const stop = () => end(false);
    const timer = setTimeout(() => end(true), ms);
    signal?.addEventListener("abort", stop);
  });
}

interface Answer {
  readonly ok: true;
  readonly data: any;
  readonly status: number;
  readonly headers: Headers;
}
type Tried = Answer | { readonly ok: false; readonly problem: Problem };

export function createClient(options: ClientOptions = {}): Client {
  const { baseUrl = "", token, timeoutMs = 10_000, maxTries = 5, maxWaitMs = 10_000 } = options;
  const base = baseUrl.replace(/\/+$/, "");
  const send = options.fetch ?? ((...args: Parameters<typeof fetch>) => fetch(...args));
  const projects = new Map<string, { etag: string; data: Project }>();
  let known: Promise<string> | null = null;

  /** Calls at the same time share one question to the provider; `stale` is the one that got a 401. */
  function bearer(stale: Promise<string> | null): Promise<string> {
    if (!known || known === stale) {
      const asked = (async () => token!({ refresh: stale !== null }))();
      known = asked;
      asked.catch(() => known === asked && (known = null));
    }
    return known!;
  }

  /** One try, ended by its own clock or the caller's signal. */
  async function attempt(path: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Tried> {
    const ender = new AbortController();
    const end = () => ender.abort();
    const timer = setTimeout(end, timeoutMs);
    signal?.addEventListener("abort", end);
    try {
      if (signal?.aborted) end();
      const response = await send(base + path, { ...init, signal: ender.signal });
      const { status, headers } = response;
      if (status === 304) return { ok: true, data: null, status, headers };
      if (!response.ok) return { ok: false, problem: await problemOf(response) };
      const text = await response.text();
      const data = parsed(text);
      return data ? { ok: true, data, status, headers } : { ok: false, problem: await problemOf(response) };
    } catch (cause) {
      if (signal?.aborted) return { ok: false, problem: local("aborted", "the call was given up") };
      if (ender.signal.aborted) return { ok: false, problem: local("timeout", "no answer in time") };
      return { ok: false, problem: local("network", "the server cannot be reached", cause) };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
  }

  async function authorised(path: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Tried> {
    let used: Promise<string> | null = null;
    for (let again = false; ; again = true) {
      const headers = new Headers(init.headers);
      try {
        if (token) headers.set("Authorization", `Bearer ${await (used = bearer(used))}`);
      } catch (cause) {
        return { ok: false, problem: local("token", "there is no token", cause) };
      }
      const tried = await attempt(path, { ...init, headers }, signal);
      if (tried.ok || tried.problem.kind !== "unauthorized" || !token || again) return tried;
    }
  }

  async function call(path: string, { signal, retry }: CallOptions = {}, init: RequestInit = {}): Promise<Tried> {
    for (let tries = 1; ; tries++) {
      const tried = await authorised(path, init, signal);
      if (tried.ok) return tried;
      const ms = waitMs(tried.problem, tries);
      const goesOn = isTransient(tried.problem) && tries < maxTries && ms <= maxWaitMs;
      if (!goesOn || retry?.(tried.problem, tries) === false) return tried;
      // what was asked for is the least; the jitter comes on top
      if (!(await sleep(ms * (1 + Math.random() / 10), signal)))
        return { ok: false, problem: local("aborted", "the call was given up") };
    }
  }

  const open = (tried: Tried): Tried => (tried.ok ? { ...tried, data: tried.data?.data } : tried);

  return {
    async vote(project_id, vote_type, { toggle = false, variant, idempotencyKey: key, ...rest } = {}) {
      const tried = await call("/api/votes", rest, {
        method: "POST",
        // a click is kept when its page is left
        keepalive: true,
        headers: { "Content-Type": "application/json", "Idempotency-Key": key ?? idempotencyKey() },
        body: JSON.stringify({ project_id, vote_type, toggle, variant }),
      });
      return open(tried);
    },

    async status(request_id, rest) {
      return open(await call(`/api/votes/status/${encodeURIComponent(request_id)}`, rest));
    },

    metrics: (rest) => call("/api/votes/metrics", rest),

    async userVotes({ limit, cursor, projectIds } = {}, rest) {
      const query = new URLSearchParams();
      if (limit !== undefined) query.set("limit", `${limit}`);
      if (cursor !== undefined) query.set("cursor", cursor);
      if (projectIds) query.set("project_ids", projectIds.join());
      return open(await call(`/api/votes/user?${query}`, rest));
    },

    async project(project_id, rest) {
      const before = projects.get(project_id);
      const init = before ? { headers: { "If-None-Match": before.etag } } : {};
      const tried = await call(`/api/projects/${encodeURIComponent(project_id)}`, rest, init);
      if (!tried.ok) return tried;
      const notModified = tried.status === 304 && before !== undefined;
      const data: Project = notModified ? before.data : tried.data.data;
      const etag = tried.headers.get("ETag");
      projects.delete(project_id);
      if (etag) projects.set(project_id, { etag, data });
      if (projects.size > PROJECTS_KEPT) projects.delete(projects.keys().next().value!);
      return { ok: true, data, notModified };
    },

    async leaderboard(limit, rest) {
      const tried = await call(`/api/leaderboard${limit === undefined ? "" : `?limit=${limit}`}`, rest);
      return tried.ok ? { ...tried, data: tried.data.data.projects } : tried;
    },
  };
}
