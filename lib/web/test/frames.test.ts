// @vitest-environment jsdom
// frames.test.ts - what is left for behind the next frame. SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { afterNextPaint } from "../src/frames.js";

let frames: FrameRequestCallback[];
let runs: number;
const run = () => void runs++;
const paint = () => frames.splice(0).forEach((frame) => frame(0));

beforeEach(() => {
  frames = [];
  runs = 0;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(window, "requestAnimationFrame").mockImplementation((callback) => frames.push(callback));
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("it runs once, in a task behind the frame's", () => {
  afterNextPaint(run);
  vi.advanceTimersByTime(100);
  expect(runs).toBe(0);
  paint();
  expect(runs).toBe(0);
  vi.advanceTimersByTime(1000);
  window.dispatchEvent(new Event("pagehide"));
  expect(runs).toBe(1);
});

test("it runs when no frame comes", () => {
  afterNextPaint(run);
  vi.advanceTimersByTime(1000);
  paint();
  vi.advanceTimersByTime(1000);
  expect(runs).toBe(1);
});

test("a page that is left runs it at once", () => {
  afterNextPaint(run);
  window.dispatchEvent(new Event("pagehide"));
  expect(runs).toBe(1);
});

test("a hidden page, which has no frames, runs it at once", () => {
  vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  afterNextPaint(run);
  expect([runs, frames.length]).toEqual([1, 0]);
});
