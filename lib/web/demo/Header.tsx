// Header.tsx - whether the page is live, and who looks at it. SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef } from "react";
import type { LiveStatus } from "../src/react.js";
import { useSay } from "./announcer.js";
import { newGuest, PEOPLE } from "./visitor.js";

const STATUS: Record<LiveStatus, string> = {
  live: "live", connecting: "connecting", reconnecting: "reconnecting", off: "not live",
};
const ANOTHER = "+";
const BRIEF_MS = 1500;

/** A short interruption is not worth a word. */
function useStatusAloud(status: LiveStatus): void {
  const say = useSay();
  const wasSaid = useRef<LiveStatus>("live");
  useEffect(() => {
    if (status !== "live" && status !== "reconnecting") return;
    const text = () => {
      const isNews = wasSaid.current !== status;
      wasSaid.current = status;
      return !isNews ? "" : status === "live" ? "Counts are live again" : "Connection lost, reconnecting";
    };
    say("status", text, BRIEF_MS);
  }, [say, status]);
}

export function LiveBadge({ status }: { readonly status: LiveStatus }) {
  useStatusAloud(status);
  return (
    <p className="live" data-live={status}>
      <span className="dot" aria-hidden="true" />
      <span className="aloud">Counts are </span>
      {STATUS[status]}
    </p>
  );
}

/** Anybody, where the server gives tokens to anybody. */
export function UserSwitch({ name, onChange }: { readonly name: string; readonly onChange: (name: string) => void }) {
  const names = (PEOPLE as readonly string[]).includes(name) ? PEOPLE : [name, ...PEOPLE];
  return (
    <label className="user">
      <span className="label">Voting as</span>
      <span className="field">
        <span className="avatar" aria-hidden="true">{name.charAt(0)}</span>
        <select value={name} onChange={({ target }) => onChange(target.value === ANOTHER ? newGuest() : target.value)}>
          {names.map((one) => <option key={one}>{one}</option>)}
          <option value={ANOTHER}>a new guest</option>
        </select>
      </span>
    </label>
  );
}

export function Brand() {
  return (
    <p className="brand">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="9" />
        <path className="up" d="M9 14.5 16 7.5l7 7" />
        <path className="down" d="m9 18.5 7 7 7-7" />
      </svg>
      votepipe
    </p>
  );
}
