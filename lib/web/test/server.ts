// server.ts - a real HTTP and Socket.IO server on loopback that says what a test wants it to. SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "socket.io";

export interface Call {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: any;
}

export type Answer = { status?: number; headers?: Record<string, string>; body?: unknown; destroy?: boolean; delayMs?: number };

export class TestServer {
  readonly calls: Call[] = [];
  readonly subscribed: string[][] = [];
  answer: (call: Call) => Answer | Promise<Answer> = () => ({ status: 404, body: {} });
  counts: (id: string) => object = () => ({ upvotes: 0, downvotes: 0, community_score: 0, version: 0 });
  readonly #http = createServer((request, response) => void this.#serve(request, response));
  readonly io = new Server(this.#http, { cors: { origin: "*" } });

  async start(): Promise<this> {
    this.io.on("connection", (socket) => {
      socket.on("subscribe", ({ project_ids }: { project_ids: string[] }, reply) => {
        this.subscribed.push(project_ids);
        reply({ ok: true, projects: Object.fromEntries(project_ids.map((id) => [id, this.counts(id)])) });
      });
      socket.on("unsubscribe", (_, reply) => typeof reply === "function" && reply({ ok: true }));
    });
    await new Promise<void>((resolve) => this.#http.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#http.closeAllConnections();
    await this.io.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.startsWith("/socket.io/")) return;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const call = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body: text ? JSON.parse(text) : undefined };
    this.calls.push(call);
    const { status = 200, headers = {}, body, destroy, delayMs = 0 } = await this.answer(call);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (destroy) return void request.socket.destroy();
    response.writeHead(status, {
      "Content-Type": status < 400 ? "application/json" : "application/problem+json",
      "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*", "Access-Control-Expose-Headers": "*", ...headers,
    });
    response.end(body === undefined || status === 304 ? "" : JSON.stringify(body));
  }
}

export const accepted = (id: string, vote: string | null, requestId: string) => ({
  status: 202,
  body: { status: "success", message: "Vote recorded", data: { id, upvotes: 1, downvotes: 0, voteCount: 1, user_vote: vote, request_id: requestId, action: "created" } },
});

export const problem = (status: number, detail = "no", headers: Record<string, string> = {}) => ({
  status, headers, body: { type: "https://votepipe.dev/problems/x", title: "X", status, detail, request_id: "r" },
});

/** Waits until `condition` holds, or fails. */
export async function until(condition: () => boolean, ms = 5000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
