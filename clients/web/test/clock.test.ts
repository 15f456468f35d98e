import { describe, expect, it } from "vitest";
import { StreamClock } from "../src/clock";
import { seeded } from "./helpers";

const FRAME = 1 / 15;

/** Feed frames with given extra delays; return the playhead's error at each display frame. */
function errors(
  delays: (n: number) => number,
  seconds: number,
  drift = 0,
): { at: number; error: number }[] {
  const clock = new StreamClock();
  const found: { at: number; error: number }[] = [];
  const arrivals = Array.from({ length: Math.floor(seconds / FRAME) }, (_, n) => ({
    stream: n * FRAME,
    at: 100 + n * FRAME * (1 + drift) + delays(n),
  })).sort((a, b) => a.at - b.at);
  for (let at = 100; at < 100 + seconds; at += 1 / 60) {
    while (arrivals.length > 0 && arrivals[0]!.at <= at) {
      const { stream, at: when } = arrivals.shift()!;
      clock.arrive(stream, when);
    }
    if (!clock.synced) continue;
    const truth = (at - 100) / (1 + drift);
    found.push({ at: at - 100, error: clock.time(at, 0) - truth });
  }
  return found;
}

function steps(found: { at: number; error: number }[], after: number): number {
  const kept = found.filter((f) => f.at > after).map((f) => f.error);
  return Math.max(...kept.slice(1).map((e, i) => Math.abs(e - kept[i]!)));
}

describe("StreamClock", () => {
  it("finds the offset exactly when nothing is late", () => {
    const found = errors(() => 0.004, 4);
    for (const { error } of found) expect(error).toBeCloseTo(-0.004, 9);
  });

  it("moves smoothly and stays near the earliest frame under jitter", () => {
    const random = seeded(1);
    const found = errors(() => 0.002 + 0.03 * random(), 20);
    // 3 % of a display frame of 16.7 ms
    expect(steps(found, 0.5)).toBeLessThan(0.0006);
    for (const { error } of found.filter((f) => f.at > 5)) {
      expect(error).toBeLessThan(0);
      expect(error).toBeGreaterThan(-0.065); // jitter + margin
    }
  });

  it("waits just long enough that frames are there in time", () => {
    const random = seeded(2);
    const late = Array.from({ length: 400 }, () => 0.02 * random());
    const found = errors((n) => late[n]!, 20).filter((f) => f.at > 8);
    // Frame n is needed from stream time n on if playback runs one frame behind:
    // it is there when it is less late than playback.
    const needed = found.map((f) => -f.error);
    const median = needed.sort((a, b) => a - b)[Math.floor(needed.length / 2)]!;
    const inTime = late.filter((l) => l <= median).length / late.length;
    expect(inTime).toBeGreaterThan(0.85);
  });

  it("is not moved by bursts after stalls", () => {
    // Every 3 s nothing for 0.2 s, then all at once.
    const found = errors((n) => {
      const t = n * FRAME;
      const phase = t % 3;
      return t > 3 && phase < 0.2 ? 0.2 - phase : 0;
    }, 15);
    expect(steps(found, 0.5)).toBeLessThan(0.0006);
    for (const { error } of found.filter((f) => f.at > 1)) expect(Math.abs(error)).toBeLessThan(0.05);
  });

  it("follows a drift of 200 ppm", () => {
    for (const drift of [2e-4, -2e-4]) {
      const found = errors(() => 0.003, 120, drift);
      expect(steps(found, 1)).toBeLessThan(0.0006);
      for (const { error } of found) expect(Math.abs(error)).toBeLessThan(0.01);
    }
  });

  it("takes a jump of the stream at once, forward and back", () => {
    const clock = new StreamClock();
    for (let n = 0; n < 60; n++) clock.arrive(n * FRAME, 50 + n * FRAME);
    clock.arrive(10, 54); // forward by 6 s
    expect(clock.time(54, 0)).toBeCloseTo(10, 6);
    for (let n = 1; n <= 8; n++) clock.arrive(5 + n * FRAME, 54 + n * FRAME);
    const now = 54 + 8 * FRAME;
    expect(clock.time(now, 0)).toBeCloseTo(5 + 8 * FRAME, 6); // back by 5 s
    clock.arrive(2, now + FRAME, true); // a reset says so itself
    expect(clock.time(now + FRAME, 0)).toBeCloseTo(2, 6);
  });
});
