// visitor.ts - who looks at the page, and the token that says so. SPDX-License-Identifier: Apache-2.0
import type { TokenProvider } from "../src/types.js";

export interface DemoConfig {
  readonly notify_url: string | null;
  /** The server gives anybody a token for any name: a stack to develop with. */
  readonly dev_tokens: boolean;
}

export interface Visitor {
  readonly name: string;
  readonly token: TokenProvider;
}

export const PEOPLE = ["ada", "alan", "grace", "linus", "margaret"] as const;
const RENEW_AHEAD_MS = 60_000;
const STORAGE_KEY = "votepipe.user";

export async function fetchConfig(): Promise<DemoConfig> {
  const response = await fetch("/demo/config");
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

async function mint(user: string): Promise<{ token: string; expires_at: string }> {
  const response = await fetch("/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (!response.ok) throw new Error(`no token for ${user}: the server answered ${response.status}`);
  return response.json();
}

/** A visitor whose tokens come from the server, each kept until it is nearly over. */
export function devVisitor(name: string): Visitor {
  let asked: ReturnType<typeof mint> | null = null;
  let renewAt = 0;
  const ask = async () => {
    const answer = await mint(name);
    renewAt = Date.parse(answer.expires_at) - RENEW_AHEAD_MS;
    return answer;
  };
  return {
    name,
    async token({ refresh }) {
      if (refresh || !asked || Date.now() > renewAt) {
        renewAt = Infinity; // calls at the same time share the question
        asked = ask();
        asked.catch(() => (asked = null));
      }
      return (await asked).token;
    },
  };
}

/** The name in a token that was brought along; null when it is none. The server checks it, not we. */
export function visitorOf(token: string): Visitor | null {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
    return typeof claims.sub === "string" ? { name: claims.sub, token: () => token } : null;
  } catch {
    return null;
  }
}

export const newGuest = (): string => `guest-${Math.floor(1000 + Math.random() * 9000)}`;

export function loadName(): string {
  try {
    return localStorage.getItem(STORAGE_KEY) ?? saveName(newGuest());
  } catch {
    return newGuest(); // a browser that keeps nothing
  }
}

export function saveName(name: string): string {
  try {
    localStorage.setItem(STORAGE_KEY, name);
  } catch {
    // it is forgotten with the page
  }
  return name;
}
