// backend.ts - a small votepipe on loopback for the tests: HTTP and Socket.IO are real, the pipeline is a list of
// votes that the test commits, fails or corrects when it likes. SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Server, type Socket } from "socket.io";
import type { UserVote, VoteAnswer, VoteType } from "../src/types.js";

export interface Reply {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}
export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: any;
}
export interface Accepted {
  request_id: string;
  project_id: string;
  vote_type: VoteType;
  state: "pending" | "committed" | "reconciled" | "failed";
}
interface Row {
  upvotes: number;
  downvotes: number;
  version: number;
  vote: UserVote; // of the one user, committed
  shown: UserVote; // and optimistic
}

export function problem(status: number, type: string, headers: Record<string, string> = {}, more: object = {}): Reply {
  const body = { type: `https://votepipe.dev/problems/${type}`, title: type, status, detail: `it is ${type}`, request_id: "r", ...more };
  return { status, body, headers: { "Content-Type": "application/problem+json", ...headers } };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

export class Backend {
  readonly asked: Asked[] = [];
  readonly accepted: Accepted[] = [];
  /** What clients have sent over their sockets. */
  readonly messages: { event: string; project_ids: string[] }[] = [];
  /** Answers in place of the API; null leaves it to the API, "hang up" closes the connection. */
  before: (asked: Asked) => Promise<Reply | "hang up" | null> | Reply | "hang up" | null = () => null;
  refuse: (socket: Socket) => Error | null = () => null;
  #rows = new Map<string, Row>();
  #server = createServer((request, response) => void this.#serve(request, response));
  #io: Server;
  #port = 0;
  #next = 0;

  constructor() {
    this.#io = this.#open();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await this.#io.close();
  }

  /** Takes the server away; the function brings it back on the same port. */
  async goAway(): Promise<() => Promise<void>> {
    await this.stop();
    return async () => {
      this.#server = createServer((request, response) => void this.#serve(request, response));
      this.#io = this.#open();
      await this.start();
    };
  }

  dropClients(): void {
    this.#io.disconnectSockets(true);
  }

  get clients(): number {
    return this.#io.sockets.sockets.size;
  }

  row(project_id: string): Row {
    let row = this.#rows.get(project_id);
    if (!row) this.#rows.set(project_id, (row = { upvotes: 10, downvotes: 2, version: 5, vote: null, shown: null }));
    return row;
  }

  counts(project_id: string) {
    const { upvotes, downvotes, version } = this.row(project_id);
    return { upvotes, downvotes, voteCount: upvotes - downvotes, community_score: 0.5, version };
  }

  /** Somebody else votes. */
  others(project_id: string, upvotes = 1): void {
    const row = this.row(project_id);
    row.upvotes += upvotes;
    row.version++;
    this.tellPublic(project_id);
  }

  tellPublic(project_id: string, changes: object = {}): void {
    this.#io.to(`p:${project_id}`).emit("vote:cast", this.#event(project_id, "created", changes));
  }

  tellOwn(name: string, payload: object): void {
    this.#io.emit(name, payload);
  }

  /** Counts the oldest open vote, or the one that is named, and tells of it. */
  commit(request_id?: string, { tell = "public first" }: { tell?: "public first" | "own first" | "nobody" } = {}): void {
    const request = this.#take(request_id, "committed");
    this.#count(request);
    const own = () => this.#tellOwnCommit(request, request.vote_type === "none" ? "vote:removed" : "vote:cast");
    if (tell === "own first") own();
    if (tell !== "nobody") this.tellPublic(request.project_id);
    if (tell === "public first") own();
  }

  reconcile(request_id?: string): void {
    const request = this.#take(request_id, "reconciled");
    this.#count(request);
    this.tellPublic(request.project_id);
    this.#tellOwnCommit(request, "vote:reconciled", { reason: "the vote before was another" });
  }

  fail(request_id?: string): void {
    const request = this.#take(request_id, "failed");
    const row = this.row(request.project_id);
    row.shown = row.vote;
    const { project_id } = request;
    this.tellOwn("vote:failed", { request_id: request.request_id, project_id, reason: "it is refused", user_vote: row.vote });
  }

  posts(): Asked[] {
    return this.asked.filter((asked) => asked.method === "POST");
  }

  #open(): Server {
    const io = new Server(this.#server, { pingInterval: 1000, pingTimeout: 1000 });
    io.use((socket, next) => {
      const error = this.refuse(socket);
      if (error) next(error);
      else next();
    });
    io.on("connection", (socket) => this.#greet(socket));
    return io;
  }

  #greet(socket: Socket): void {
    socket.on("subscribe", ({ project_ids }: { project_ids: string[] }, answer) => {
      this.messages.push({ event: "subscribe", project_ids });
      for (const id of project_ids) void socket.join(`p:${id}`);
      answer({ ok: true, projects: Object.fromEntries(project_ids.map((id) => [id, this.counts(id)])) });
    });
    socket.on("unsubscribe", ({ project_ids }: { project_ids: string[] }, answer) => {
      this.messages.push({ event: "unsubscribe", project_ids });
      for (const id of project_ids) void socket.leave(`p:${id}`);
      answer({ ok: true });
    });
  }

  #event(project_id: string, action: VoteAnswer["action"], changes: object = {}) {
    return { project_id, ...this.counts(project_id), action, coalesced: 1, committed_at: new Date().toISOString(), ...changes };
  }

  #take(request_id: string | undefined, state: Accepted["state"]): Accepted {
    const request = this.accepted.find((one) => one.state === "pending" && (!request_id || one.request_id === request_id));
    if (!request) throw new Error("there is no open vote");
    request.state = state;
    return request;
  }

  #count({ project_id, vote_type }: Accepted): void {
    const row = this.row(project_id);
    const vote = vote_type === "none" ? null : vote_type;
    row.upvotes += Number(vote === "up") - Number(row.vote === "up");
    row.downvotes += Number(vote === "down") - Number(row.vote === "down");
    row.vote = vote;
    row.version++;
  }

  #tellOwnCommit({ request_id, project_id }: Accepted, name: string, more: object = {}): void {
    const { vote } = this.row(project_id);
    this.tellOwn(name, this.#event(project_id, "created", { request_id, user_vote: vote, ...more }));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.startsWith("/socket.io/")) return;
    const text = await textOf(request).catch(() => "");
    const asked: Asked = {
      method: request.method ?? "", path: request.url ?? "", headers: request.headers, body: text ? JSON.parse(text) : null,
    };
    if (asked.method === "OPTIONS") return this.#answer(response, { status: 204 });
    this.asked.push(asked);
    const reply = (await this.before(asked)) ?? this.#api(asked);
    if (reply === "hang up") response.destroy();
    else this.#answer(response, reply);
  }

  #answer(response: ServerResponse, { status, body, headers }: Reply): void {
    const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*, Authorization", "Access-Control-Expose-Headers": "*" };
    response.writeHead(status, { "Content-Type": "application/json", ...cors, ...headers });
    response.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
  }

  #api({ method, path, headers, body }: Asked): Reply {
    const url = new URL(path, "http://localhost");
    const last = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
    if (method === "POST") return this.#vote(body);
    if (url.pathname.startsWith("/api/votes/status/")) return this.#status(last);
    if (url.pathname === "/api/votes/user") return this.#userVotes(url.searchParams.get("project_ids") ?? "");
    if (url.pathname.startsWith("/api/projects/")) return this.#project(last, headers["if-none-match"]);
    return problem(404, "not-found");
  }

  #vote({ project_id, vote_type }: { project_id: string; vote_type: VoteType }): Reply {
    const row = this.row(project_id);
    const vote = vote_type === "none" ? null : vote_type;
    const action = vote === row.shown ? "unchanged" : !vote ? "removed" : row.shown ? "changed" : "created";
    const request_id = `request-${++this.#next}`;
    row.shown = vote;
    this.accepted.push({ request_id, project_id, vote_type, state: "pending" });
    const data = { id: project_id, ...this.counts(project_id), user_vote: vote, request_id, action };
    return { status: 202, body: { status: "success", message: "Vote recorded", data } };
  }

  #status(request_id: string): Reply {
    const request = this.accepted.find((one) => one.request_id === request_id);
    if (!request) return problem(404, "not-found");
    const committed_at = request.state === "pending" ? null : new Date().toISOString();
    return { status: 200, body: { status: "success", data: { ...request, action: "created", committed_at, error: null } } };
  }

  #userVotes(ids: string): Reply {
    const votes = ids.split(",").flatMap((project_id) => {
      const vote_type = this.row(project_id).shown;
      return vote_type ? [{ project_id, vote_type, updated_at: new Date().toISOString() }] : [];
    });
    return { status: 200, body: { status: "success", data: { votes, next_cursor: null } } };
  }

  #project(project_id: string, known: string | undefined): Reply {
    const etag = `"v${this.row(project_id).version}"`;
    if (known === etag) return { status: 304, headers: { ETag: etag } };
    const data = { id: project_id, project_id, ...this.counts(project_id) };
    return { status: 200, body: { status: "success", data }, headers: { ETag: etag } };
  }
}

/** Waits for a condition, with a deadline. */
export async function until(what: () => boolean, ms = 3000): Promise<void> {
  const end = Date.now() + ms;
  while (!what()) {
    if (Date.now() > end) throw new Error(`not in ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Long enough for whatever should not happen to happen. */
export const aWhile = (ms = 120): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
