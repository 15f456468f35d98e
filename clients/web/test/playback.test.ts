import { describe, expect, it } from "vitest";
import { Playback } from "../src/playback";
import { newPose, Timeline } from "../src/timeline";
import { angleOf, seeded, turned } from "./helpers";

const HELLO = { bones: ["head"], fps: 15, sampleRate: 16000 };
const FRAME = 16000 / 15;

describe("Timeline", () => {
  it("slerps between the frames around a sample and holds at the ends", () => {
    const timeline = new Timeline();
    const pose = newPose(1);
    expect(timeline.sample(0, pose)).toBeNull();
    timeline.push(turned(1000, 0));
    timeline.push(turned(2000, 1));
    timeline.push(turned(4000, 2));
    for (const [sample, angle, starved] of [
      [0, 0, 0], [1000, 0, 0], [1250, 0.25, 0], [2000, 1, 0], [3000, 1.5, 0], [4000, 2, 0],
      [4800, 2, 800],
    ] as const) {
      expect(timeline.sample(sample, pose)?.starved).toBe(starved);
      expect(angleOf(pose.rotations)).toBeCloseTo(angle, 5);
    }
  });

  it("takes the short way between q and -q", () => {
    const timeline = new Timeline();
    const pose = newPose(1);
    const a = turned(0, 0.2);
    const b = turned(1000, 0.6);
    b.rotations = b.rotations.map((v) => -v);
    timeline.push(a);
    timeline.push(b);
    timeline.sample(500, pose);
    expect(Math.abs(angleOf(pose.rotations))).toBeCloseTo(0.4, 5);
  });

  it("mixes the faces of two frames, and has none where a frame has none", () => {
    const timeline = new Timeline();
    const pose = newPose(1);
    timeline.push(turned(0, 0, { face: new Float32Array([0, 1]) }));
    timeline.push(turned(1000, 0, { face: new Float32Array([1, 0.5]) }));
    timeline.push(turned(2000, 0));
    expect(Array.from(timeline.sample(250, pose)?.face ?? [])).toEqual([0.25, 0.875]);
    expect(timeline.sample(1500, pose)?.face).toBeNull();
  });

  it("ignores frames that are not newer", () => {
    const timeline = new Timeline();
    timeline.push(turned(2000, 1));
    timeline.push(turned(1000, 0));
    expect(timeline.newest?.sample).toBe(2000);
  });
});

/** Play frames that arrive as given; return what was shown at 60 Hz. */
function play(
  arrivals: { sample: number; at: number; angle: number; reset?: boolean }[],
  until: number,
): { at: number; angle: number; mode: string }[] {
  const playback = new Playback(HELLO, newPose(1), null);
  const shown = [];
  const queue = [...arrivals].sort((a, b) => a.at - b.at);
  for (let at = 0; at < until; at += 1 / 60) {
    while (queue.length > 0 && queue[0]!.at <= at) {
      const { sample, at: when, angle, reset } = queue.shift()!;
      playback.push(turned(sample, angle, { reset: reset ?? false }), when);
    }
    playback.update(at);
    shown.push({ at, angle: angleOf(playback.pose.rotations), mode: playback.mode });
  }
  return shown;
}

function fastest(shown: { angle: number }[]): number {
  return Math.max(...shown.slice(1).map((s, i) => Math.abs(s.angle - shown[i]!.angle))) * 60;
}

describe("Playback", () => {
  it("turns jittery arrivals into even motion", () => {
    const random = seeded(3);
    const arrivals = Array.from({ length: 150 }, (_, n) => ({
      sample: Math.round(n * FRAME),
      at: n / 15 + 0.003 + 0.02 * random(),
      angle: (0.3 * n) / 15,
    }));
    const shown = play(arrivals, 10).filter((s) => s.at > 3);
    const speeds = shown.slice(1).map((s, i) => ((s.angle - shown[i]!.angle) * 60) / 0.3);
    // 1 as a share of the true speed, give or take the clock's own slewing and rare late frames
    const even = speeds.filter((v) => Math.abs(v - 1) < 0.1).length / speeds.length;
    expect(even).toBeGreaterThan(0.95);
    expect(Math.max(...speeds)).toBeLessThan(3);
    expect(Math.min(...speeds)).toBeGreaterThanOrEqual(-1e-6);
    // One frame behind what has arrived, plus the margin.
    const last = shown.at(-1)!;
    expect(last.at - last.angle / 0.3).toBeLessThan(1 / 15 + 0.055);
    expect(shown.every((s) => s.mode === "live")).toBe(true);
  });

  it("holds, then eases to rest, then catches up without a jump", () => {
    const arrivals = Array.from({ length: 150 }, (_, n) => ({
      sample: Math.round(n * FRAME),
      at: n / 15,
      angle: 0.5 + 0.3 * Math.sin(n / 15),
    })).filter((a) => a.at < 3 || a.at > 8);
    const shown = play(arrivals, 10);
    const mode = (at: number): string => shown.find((s) => s.at >= at)!.mode;
    expect(mode(2)).toBe("live");
    expect(mode(3.5)).toBe("held");
    expect(mode(5)).toBe("rest");
    expect(shown.find((s) => s.at >= 6.5)!.angle).toBeCloseTo(0, 5);
    expect(mode(9.5)).toBe("live");
    // The motion itself reaches 0.3 rad/s; blends of at most 0.8 rad take 0.3 s.
    expect(fastest(shown)).toBeLessThan(5);
  });

  it("blends over a reset, also one whose clock starts again", () => {
    const first = Array.from({ length: 45 }, (_, n) => ({
      sample: Math.round(n * FRAME), at: n / 15, angle: 1,
    }));
    const second = Array.from({ length: 45 }, (_, n) => ({
      sample: Math.round(n * FRAME), at: 3 + n / 15, angle: -1, reset: n === 0,
    }));
    const shown = play([...first, ...second], 5.5);
    expect(shown.find((s) => s.at >= 2.9)!.angle).toBeCloseTo(1, 5);
    expect(shown.find((s) => s.at >= 3.6)!.angle).toBeCloseTo(-1, 5);
    expect(fastest(shown.filter((s) => s.at > 1))).toBeLessThan(12);
  });

  it("starts at rest and from what was on the screen", () => {
    const rest = newPose(1);
    rest.rotations.set(turned(0, 0.7).rotations);
    const fresh = new Playback(HELLO, rest, null);
    expect(angleOf(fresh.update(0).rotations)).toBeCloseTo(0.7, 5);
    expect(fresh.mode).toBe("rest");
    const before = newPose(1);
    before.rotations.set(turned(0, 0.2).rotations);
    const again = new Playback(HELLO, rest, before);
    expect(angleOf(again.pose.rotations)).toBeCloseTo(0.2, 5);
    // ... and eases to rest from there
    expect(angleOf(again.update(0).rotations)).toBeCloseTo(0.2, 5);
    expect(angleOf(again.update(0.2).rotations)).toBeLessThan(0.35);
    expect(angleOf(again.update(2).rotations)).toBeCloseTo(0.7, 5);
  });
});
