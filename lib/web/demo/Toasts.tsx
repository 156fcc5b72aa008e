// Toasts.tsx - what became of a vote that did not go as it was shown. SPDX-License-Identifier: Apache-2.0
import { useCallback, useEffect, useRef, useState } from "react";
import type { Notice } from "../src/react.js";
import { useSay } from "./announcer.js";
import { formatMs, formatVote, titleOf } from "./text.js";

export interface Toast {
  readonly id: number;
  readonly tone: "note" | "bad";
  readonly title: string;
  readonly text: string;
}

type Words = Omit<Toast, "id">;

const SHOWN_MS = 9000;
const SHOWN_COUNT = 3;

function wordsOf(notice: Notice): Words {
  const title = titleOf(notice.project_id);
  switch (notice.kind) {
    case "reconciled":
      return { tone: "note", title: "Counts corrected", text: `${title}: your vote had changed elsewhere. You now have ${formatVote(notice.user_vote)} on it.` };
    case "failed":
      return { tone: "bad", title: "Vote taken back", text: `${title}: it could not be counted. You now have ${formatVote(notice.user_vote)} on it.` };
    case "rejected":
      return { tone: "bad", title: "Vote not taken", text: `${title}: ${notice.problem.detail}.` };
    case "waiting":
      return { tone: "note", title: "That was fast", text: `Your latest votes go out in ${formatMs(notice.retryAfterMs)}.` };
  }
}

export function useToasts() {
  const say = useSay();
  const next = useRef(1);
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const dismiss = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const notify = useCallback(
    (notice: Notice) => {
      const words = wordsOf(notice);
      const id = next.current++;
      setToasts((all) => [...all.filter(({ text }) => text !== words.text), { id, ...words }].slice(-SHOWN_COUNT));
      say("toast", `${words.title}. ${words.text}`, 100);
    },
    [say],
  );
  return { toasts, notify, dismiss };
}

/** Goes by itself, but not under a pointer or with the focus in it. */
function ToastItem({ toast, dismiss }: { readonly toast: Toast; readonly dismiss: (id: number) => void }) {
  const [isHeld, setIsHeld] = useState(false);
  const { id, tone, title, text } = toast;
  useEffect(() => {
    if (isHeld) return;
    const timer = setTimeout(() => dismiss(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [dismiss, id, isHeld]);
  return (
    <li
      className="toast" data-tone={tone}
      onPointerEnter={() => setIsHeld(true)} onPointerLeave={() => setIsHeld(false)}
      onFocus={() => setIsHeld(true)} onBlur={() => setIsHeld(false)}
    >
      <div>
        <strong>{title}</strong>
        <p>{text}</p>
      </div>
      <button type="button" className="close" aria-label={`Dismiss: ${title}`} onClick={() => dismiss(id)}>
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 7l10 10M17 7L7 17" /></svg>
      </button>
    </li>
  );
}

export function Toasts({ toasts, dismiss }: { readonly toasts: readonly Toast[]; readonly dismiss: (id: number) => void }) {
  return (
    <section className="toasts" aria-label="Notices">
      <ul>
        {toasts.map((toast) => <ToastItem key={toast.id} toast={toast} dismiss={dismiss} />)}
      </ul>
    </section>
  );
}
