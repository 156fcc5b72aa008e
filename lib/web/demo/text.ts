// text.ts - how ids and figures are written for people. SPDX-License-Identifier: Apache-2.0
import type { UserVote } from "../src/types.js";

/** "solar-roofs-on-schools" is Solar roofs on schools; "p7" is Project 7. */
export function titleOf(project_id: string): string {
  const numbered = /^p(\d+)$/.exec(project_id);
  if (numbered) return `Project ${numbered[1]}`;
  const words = project_id.replace(/[-_.:]+/g, " ").trim() || project_id;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const SMALL_WORDS = new Set(["a", "an", "the", "on", "in", "of", "for", "with", "along", "every", "and", "to"]);

/** One or two characters that tell a title from its neighbours at a glance. */
export function monogramOf(title: string): string {
  const words = title.split(" ").filter((word) => !SMALL_WORDS.has(word.toLowerCase()));
  const number = /^Project (\d+)$/.exec(title);
  if (number) return number[1]!.slice(0, 3);
  return words.slice(0, 2).map((word) => word.charAt(0).toUpperCase()).join("");
}

/** 0 to 5, the same for the same id. */
export function hueOf(project_id: string): number {
  let hash = 7;
  for (const character of project_id) hash = (hash * 31 + character.charCodeAt(0)) >>> 0;
  return hash % 6;
}

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Fits in five characters and a sign. */
export function formatCount(value: number): string {
  const size = Math.abs(value);
  return (value < 0 ? "−" : "") + (size < 10_000 ? whole : compact).format(size);
}

export function formatMs(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

export function formatVote(vote: UserVote | undefined): string {
  return vote === "up" ? "an up vote" : vote === "down" ? "a down vote" : "no vote";
}
