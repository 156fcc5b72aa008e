// text.ts - how ids and figures are written for people. SPDX-License-Identifier: Apache-2.0

/** "solar-roofs-on-schools" is Solar roofs on schools; "p7" is Project 7. */
export function titleOf(id: string): string {
  const numbered = /^p(\d+)$/.exec(id);
  if (numbered) return `Project ${numbered[1]}`;
  const words = id.replace(/[-_.:]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const whole = new Intl.NumberFormat("en");
export const formatCount = (value: number) => (value < 0 ? `−${whole.format(-value)}` : whole.format(value));

export function formatMs(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
