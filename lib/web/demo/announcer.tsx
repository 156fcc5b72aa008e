// announcer.tsx - the page's one live region: a sentence when something has settled, not each step of it.
// SPDX-License-Identifier: Apache-2.0
import { createContext, useContext, useEffect, useMemo, useRef, type ReactNode } from "react";

/** Says a text when `topic` has been quiet for `quietMs`; a newer one of the topic takes its place. */
export type Say = (topic: string, text: string | (() => string), quietMs: number) => void;

const Context = createContext<Say>(() => {});

export const useSay = (): Say => useContext(Context);

export function Announcer({ children }: { readonly children: ReactNode }) {
  const region = useRef<HTMLParagraphElement>(null);
  const timers = useRef(new Map<string, ReturnType<typeof setTimeout>>());

  const say = useMemo<Say>(
    () => (topic, text, quietMs) => {
      clearTimeout(timers.current.get(topic));
      const speak = () => {
        const words = typeof text === "string" ? text : text();
        if (!words || !region.current) return;
        // the same words again are heard only when something about them is new
        region.current.textContent = region.current.textContent === words ? `${words}\u00a0` : words;
      };
      timers.current.set(topic, setTimeout(speak, quietMs));
    },
    [],
  );

  useEffect(() => {
    const pending = timers.current;
    return () => pending.forEach(clearTimeout);
  }, []);

  return (
    <Context.Provider value={say}>
      {children}
      <p className="aloud" role="status" ref={region} />
    </Context.Provider>
  );
}
