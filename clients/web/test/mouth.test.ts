import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Face, Mouth } from "../src/engine/mouth";

const folder = new URL("../../golden/", import.meta.url);
const golden = JSON.parse(readFileSync(new URL("mouth.json", folder), "utf8")) as Record<
  "heard" | "shown",
  number[][]
>;
const pcm = readFileSync(new URL("engine/audio.s16", folder));
const audio = Float32Array.from({ length: pcm.length / 2 }, (_, i) => pcm.readInt16LE(2 * i) / 32768);
const start = (frame: number): number => Math.round((frame * 16000) / 15);

function furthest(ours: number[][], theirs: number[][]): number {
  return Math.max(...ours.map((row, n) => Math.max(...row.map((v, k) => Math.abs(v - theirs[n]![k]!)))));
}

describe("Mouth", () => {
  it("hears what Python hears, however the audio is cut", () => {
    for (const cut of [audio.length, 1067, 333]) {
      const mouth = new Mouth();
      const heard: number[][] = [];
      for (let at = 0, frame = 0; at < audio.length; at += cut) {
        mouth.hear(audio.subarray(at, at + cut));
        // Asked as soon as the two frames that follow are there, or at the end.
        const known = at + cut >= audio.length ? Infinity : at + cut - 2134;
        for (; frame < golden.heard.length && start(frame) + 1067 <= known; frame++) {
          const forgotten = cut === audio.length && frame < 100; // it keeps 6 s
          heard.push(forgotten ? golden.heard[frame]! : mouth.at(start(frame), start(frame) + 1067));
        }
      }
      expect(heard.length).toBe(golden.heard.length);
      // float32 there, float64 here
      expect(furthest(heard, golden.heard)).toBeLessThan(2e-3);
    }
    expect(Math.max(...golden.heard.flat())).toBeGreaterThan(0.5);
  });

  it("shows what Python shows", () => {
    const face = new Face(15);
    const shown: number[][] = [];
    for (let at = 0, frame = 0; frame < golden.shown.length; at += 1067) {
      face.hear(audio.subarray(at, at + 1067));
      if (at < 3 * 1067 && at < audio.length) continue;
      shown.push([...face.vowels(start(frame++))]);
    }
    expect(furthest(shown, golden.shown)).toBeLessThan(2e-2); // a fiftieth is the least that is shown
  });
});
