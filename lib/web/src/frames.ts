// frames.ts - what belongs into the next frame, and what would only hold it up. SPDX-License-Identifier: Apache-2.0

/** Runs the function once, when its turn comes. */
export type Schedule = (run: () => void) => void;

const HIDDEN_MS = 250;

function once(run: () => void): () => void {
  let isDue = true;
  return () => {
    if (isDue) {
      isDue = false;
      run();
    }
  };
}

/** A hidden page has no frames; it gets a timer. */
export const beforeNextPaint: Schedule = (run) => {
  const first = once(run);
  if (typeof requestAnimationFrame === "function") requestAnimationFrame(first);
  setTimeout(first, HIDDEN_MS);
};

/** Right behind the next frame's rendering; at once where there is none: in a hidden page, and one that is left. */
export const afterNextPaint: Schedule = (run) => {
  if (typeof document === "undefined" || document.hidden) return run();
  const first = once(() => {
    removeEventListener("pagehide", first);
    clearTimeout(timer);
    run();
  });
  const timer = setTimeout(first, HIDDEN_MS);
  addEventListener("pagehide", first);
  requestAnimationFrame(() => setTimeout(first));
};

/** With the frame after the next. */
export const withLaterFrame: Schedule = (run) => afterNextPaint(() => beforeNextPaint(run));
