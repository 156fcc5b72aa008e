// session.ts - who the visitor is, and the token that says so. SPDX-License-Identifier: Apache-2.0

export interface DemoConfig {
  notify_url: string | null;
  dev_tokens: boolean;
}

export async function fetchConfig(): Promise<DemoConfig> {
  const response = await fetch("/demo/config");
  if (!response.ok) throw new Error(`the page's settings cannot be read: HTTP ${response.status}`);
  return (await response.json()) as DemoConfig;
}

const RENEW_AHEAD_MS = 60_000;

/** Tokens of the local stack for one user, each kept until it is nearly over. */
export function tokenProvider(user: string): (again?: boolean) => Promise<string> {
  let kept: Promise<{ token: string; expires_at: string }> | undefined;
  const mint = async () => {
    const response = await fetch("/demo/token", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user }),
    });
    if (!response.ok) throw new Error(`no token for ${user}: HTTP ${response.status}`);
    return (await response.json()) as { token: string; expires_at: string };
  };
  return async (again = false) => {
    const old = await kept?.catch(() => undefined);
    if (again || !old || Date.parse(old.expires_at) - Date.now() < RENEW_AHEAD_MS) kept = mint();
    return (await kept!).token;
  };
}

const KEY = "votepipe.user";

export function loadUser(): string {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept) return kept;
  } catch {
    // a browser that keeps nothing
  }
  const user = `guest-${Math.floor(Math.random() * 9000 + 1000)}`;
  saveUser(user);
  return user;
}

export function saveUser(user: string): void {
  try {
    localStorage.setItem(KEY, user);
  } catch {
    // as above
  }
}
