// Toasts.tsx - what the user should hear of, for a while. SPDX-License-Identifier: Apache-2.0
import { useCallback, useEffect, useRef, useState } from "react";

export interface Toast {
  id: number;
  text: string;
  tone: "bad" | "note";
}

const SHOWN_MS = 8_000;
const KEPT = 4;

export function useToasts() {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const timers = useRef(new Set<ReturnType<typeof setTimeout>>());
  const dismiss = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useCallback((text: string, tone: Toast["tone"]) => {
    const id = next.current++;
    setToasts((all) => [...all.filter((toast) => toast.text !== text), { id, text, tone }].slice(-KEPT));
    const timer = setTimeout(() => {
      timers.current.delete(timer);
      dismiss(id);
    }, SHOWN_MS);
    timers.current.add(timer);
  }, [dismiss]);
  useEffect(() => () => timers.current.forEach(clearTimeout), []);
  return { toasts, show, dismiss };
}

export function Toasts({ toasts, dismiss }: { toasts: Toast[]; dismiss: (id: number) => void }) {
  return (
    <section className="toasts" aria-label="Notices" role="status" aria-live="polite">
      {toasts.map(({ id, text, tone }) => (
        <div key={id} className={`toast ${tone}`}>
          <span>{text}</span>
          <button type="button" className="plain" aria-label={`Dismiss: ${text}`} onClick={() => dismiss(id)}>×</button>
        </div>
      ))}
    </section>
  );
}
