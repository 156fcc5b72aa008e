// client.ts - the API of vote-ingest over fetch: typed from its OpenAPI document, no dependency.
// SPDX-License-Identifier: Apache-2.0
//
// What the server says is never an exception: a call ends with a value that is one thing or the other.
import type { components } from "./openapi.js";

type Schemas = components["schemas"];
export type VoteType = Schemas["Vote"]["vote_type"];
export type UserVote = "up" | "down" | null;
export type Accepted = Schemas["VoteAnswer"]["data"];
export type VoteStatus = Schemas["StatusAnswer"]["data"];
export type Metrics = Schemas["Metrics"];
export type OwnVotes = Schemas["UserVotesAnswer"]["data"];
export type Project = Schemas["ProjectAnswer"]["data"];
export type Leaderboard = Schemas["LeaderboardAnswer"]["data"];

/** RFC 9457. A status of 0: no answer came, and `detail` says why. */
export type Problem = Omit<Schemas["Problem"], "request_id"> & { request_id?: string };

export type Result<T> =
  | { ok: true; data: T; replayed: boolean }
  | { ok: false; problem: Problem; retryAfterMs?: number };

export interface ClientOptions {
  /** Where vote-ingest is; "" is the page's own origin. */
  baseUrl?: string;
  /** The bearer token; asked for again, once a call, when the server says 401. */
  token: (again: boolean) => string | Promise<string>;
  /** How often a call is tried again: after 429, 503 and where no answer came. Preset 3. */
  retries?: number;
  /** The longest wait before a try, in ms; a server that asks for more is not tried again. Preset 15,000. */
  longestWaitMs?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface VoteOptions extends CallOptions {
  /** Preset true: the same vote again takes it back. False sets the vote. */
  toggle?: boolean;
  /** A label for A/B comparisons. */
  variant?: string;
  /** One click's key over all its tries; preset: a new one. */
  idempotencyKey?: string;
}

export interface VoteClient {
  vote(projectId: string, voteType: VoteType, options?: VoteOptions): Promise<Result<Accepted>>;
  status(requestId: string, options?: CallOptions): Promise<Result<VoteStatus>>;
  metrics(options?: CallOptions): Promise<Result<Metrics>>;
  userVotes(query?: { limit?: number; cursor?: string; projectIds?: readonly string[] }, options?: CallOptions): Promise<Result<OwnVotes>>;
  /** Committed counts. What has not changed since the last call is not sent again. */
  project(projectId: string, options?: CallOptions): Promise<Result<Project>>;
  leaderboard(limit?: number, options?: CallOptions): Promise<Result<Leaderboard>>;
}

const FIRST_WAIT_MS = 250;
const KNOWN_MAX = 1000;

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
export function parseRetryAfter(text: string | null): number | undefined {
  if (!text) return undefined;
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body = (await response.json()) as Partial<Problem>;
    if (typeof body.status === "number" && typeof body.title === "string") return body as Problem;
  } catch {
    // not JSON: something between us and the server answered
  }
  return { type: "about:blank", title: response.statusText, status: response.status, detail: `HTTP ${response.status}` };
}

function noAnswer(error: unknown): Problem {
  const aborted = (error as Error | undefined)?.name === "AbortError";
  const detail = error instanceof Error ? error.message : String(error);
  return { type: "about:blank", title: aborted ? "Aborted" : "No answer", status: 0, detail };
}

/** 128 random bits. Not crypto.randomUUID: pages without TLS do not have it. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Half of it is left to chance, so that many clients do not come back at once. */
const jittered = (ms: number) => ms / 2 + (Math.random() * ms) / 2;

export function createVoteClient(options: ClientOptions): VoteClient {
  const { baseUrl = "", token, retries = 3, longestWaitMs = 15_000 } = options;
  const known = new Map<string, { etag: string; body: { data: Project } }>();

  /** The wait before the next try, or undefined: there is none. */
  function waitBefore(attempt: number, problem: Problem, asked: number | undefined): number | undefined {
    const mayHelp = problem.status === 429 || problem.status === 503 || problem.status === 0;
    const ms = asked !== undefined ? asked + jittered(100) : jittered(FIRST_WAIT_MS * 2 ** attempt);
    return mayHelp && attempt < retries && ms <= longestWaitMs ? ms : undefined;
  }

  /** One try; a 401 is answered with a new token once. */
  async function send(path: string, init: RequestInit, again = false): Promise<Response> {
    const headers = { Authorization: `Bearer ${await token(again)}`, ...(init.headers as Record<string, string>) };
    const response = await fetch(baseUrl + path, { ...init, headers });
    return response.status === 401 && !again ? send(path, init, true) : response;
  }

  async function call<Body, T>(path: string, init: RequestInit, unpack: (body: Body, response: Response) => T): Promise<Result<T>> {
    const { signal } = init;
    for (let attempt = 0; ; attempt++) {
      let problem: Problem;
      let asked: number | undefined;
      try {
        const response = await send(path, init);
        if (response.ok || response.status === 304) {
          const body = (response.ok ? await response.json() : undefined) as Body;
          return { ok: true, data: unpack(body, response), replayed: response.headers.has("Idempotent-Replayed") };
        }
        problem = await problemOf(response);
        asked = parseRetryAfter(response.headers.get("Retry-After"));
      } catch (error) {
        problem = noAnswer(error);
      }
      const ms = signal?.aborted ? undefined : waitBefore(attempt, problem, asked);
      if (ms === undefined) return { ok: false, problem, ...(asked === undefined ? {} : { retryAfterMs: asked }) };
      await sleep(ms, signal ?? undefined);
      if (signal?.aborted) return { ok: false, problem: noAnswer(signal.reason) };
    }
  }

  const get = <Body extends { data: unknown }>(path: string, options?: CallOptions) =>
    call<Body, Body["data"]>(path, { ...options }, (body) => body.data);

  return {
    vote(projectId, voteType, { toggle = true, variant, idempotencyKey = newKey(), signal } = {}) {
      const body = JSON.stringify({ project_id: projectId, vote_type: voteType, toggle, variant });
      const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
      const init = { method: "POST", body, headers, ...(signal ? { signal } : {}) };
      return call<Schemas["VoteAnswer"], Accepted>("/api/votes", init, (answer) => answer.data);
    },
    status: (requestId, options) => get<Schemas["StatusAnswer"]>(`/api/votes/status/${encodeURIComponent(requestId)}`, options),
    metrics: (options) => call<Metrics, Metrics>("/api/votes/metrics", { ...options }, (body) => body),
    userVotes({ limit, cursor, projectIds } = {}, options) {
      const query = new URLSearchParams();
      if (limit !== undefined) query.set("limit", String(limit));
      if (cursor !== undefined) query.set("cursor", cursor);
      if (projectIds) query.set("project_ids", projectIds.join(","));
      return get<Schemas["UserVotesAnswer"]>(`/api/votes/user?${query}`, options);
    },
    project(projectId, options) {
      const path = `/api/projects/${encodeURIComponent(projectId)}`;
      const kept = known.get(projectId);
      const init = { ...options, ...(kept ? { headers: { "If-None-Match": kept.etag } } : {}) };
      return call<{ data: Project }, Project>(path, init, (body, response) => {
        if (response.status === 304 && kept) return kept.body.data;
        const etag = response.headers.get("ETag");
        if (known.size >= KNOWN_MAX) known.clear();
        if (etag) known.set(projectId, { etag, body });
        return body.data;
      });
    },
    leaderboard: (limit = 20, options) => get<Schemas["LeaderboardAnswer"]>(`/api/leaderboard?limit=${limit}`, options),
  };
}
