// The TypeScript engine comes to the same numbers as the Python one.

import { describe, expect, test } from "vitest";
import { FrameClock } from "../src/engine/frameClock";
import { BONES, PARENTS, restOffset } from "../src/engine/humanoid";
import { ArtifactError, readManifest } from "../src/engine/manifest";
import { PostProcessor, unitRest, VoiceTracker } from "../src/engine/postprocess";
import { Resampler } from "../src/engine/resampler";
import { gestureSeed } from "../src/engine/seed";
import { Skeleton } from "../src/engine/skeleton";
import { StepRunner } from "../src/engine/stepRunner";
import { type EngineFrame, restPose, Stream } from "../src/engine/stream";
import { styleMixture, type Window, Windower } from "../src/engine/windower";
import { crc32, normalise, wordIds } from "../src/engine/words";
import {
  defaultModel,
  golden,
  goldenAudio,
  openModel,
  type Run,
  stacked,
  table,
  tinyModel,
  worst,
} from "./engineGolden";
import { seeded } from "./helpers";

// Measured worst differences to Python: 9e-7 over all frames, for the made-up
// motion, the tiny graph and the default model alike.
const CLOSE = 1e-4;

const tiny = openModel(tinyModel);

async function stream(): Promise<Stream> {
  const { runner } = await tiny;
  return new Stream(runner, table(golden.tiny.rest), { seed: golden.seed });
}

function sayWords(windower: Windower): void {
  for (const word of golden.words) windower.pushWord({ ...word, final: true }, word.end);
}

function expectRun(frames: readonly EngineFrame[], wanted: Run): void {
  expect(frames.map(({ state }) => state)).toEqual(wanted.states);
  expect(frames.map(({ sample }) => sample)).toEqual(wanted.samples);
  expect(frames.map(({ index }) => index)).toEqual(frames.map((_, i) => i));
  for (const key of ["directions", "rotations", "positions", "root"] as const) {
    const got = stacked(frames.map((frame) => frame[key]));
    expect(worst(got, table(wanted[key])), key).toBeLessThan(CLOSE);
  }
}

test("frames and columns begin at exact samples, far into the stream too", () => {
  for (const { fps, columns, frames, starts, column_ends, samples, frame_of } of golden.clocks) {
    const clock = new FrameClock({ numerator: fps[0], denominator: fps[1] }, columns);
    expect(frames.map((n) => clock.start(n))).toEqual(starts);
    expect(frames.map((n) => column_ends[0]!.map((_, c) => clock.columnEnd(n, c)))).toEqual(column_ends);
    expect(samples.map((n) => clock.frameOf(n))).toEqual(frame_of);
  }
});

test("seeds are numpy's", () => {
  for (const { seed, start, values } of golden.gesture_seeds) {
    expect([...gestureSeed(seed, start)]).toEqual(values);
  }
});

test("words hash as in training", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  for (const { text, normalised, ids } of golden.hashes) {
    expect(normalise(text), text).toBe(normalised);
    expect([...wordIds(text, { buckets: 64, slots: 4 })], text).toEqual(ids);
  }
});

test("bones and their rest are the engine's", () => {
  expect(BONES).toEqual(golden.humanoid.bones);
  expect(PARENTS).toEqual(golden.humanoid.parents);
  BONES.forEach((bone, i) => expect(worst(restOffset(bone), golden.humanoid.rest[i]!)).toBeLessThan(1e-8));
});

describe("the resampler", () => {
  const input = table(golden.resampling.input);

  test.each(["44100", "48000"] as const)("is Python's from %s Hz", (rate) => {
    const got = new Resampler(Number(rate)).push(input);
    expect(worst(got, table(golden.resampling[rate]))).toBeLessThan(1e-6);
  });

  test("does not care how the audio is cut", () => {
    const random = seeded(1);
    const whole = new Resampler(44_100).push(input);
    const cut = new Resampler(44_100);
    const parts: Float32Array[] = [];
    for (let at = 0; at < input.length; ) {
      const count = Math.floor(random() * 700);
      parts.push(cut.push(input.subarray(at, at + count)));
      at += count;
    }
    expect(stacked(parts)).toEqual(whole);
  });
});

describe("windows", () => {
  const crc = (window: Window): number =>
    crc32(new Uint8Array((window.tensors["audio"] as Float32Array).buffer));

  async function made(cut: (left: number) => number): Promise<Window[]> {
    const { spec } = await tiny;
    const windower = new Windower(spec, spec.defaultLookahead, styleMixture(spec), golden.seed);
    sayWords(windower);
    const audio = goldenAudio();
    const windows: Window[] = [];
    for (let at = 0; at < audio.length; ) {
      const count = cut(audio.length - at);
      windows.push(...windower.push(audio.subarray(at, at + count), at));
      at += count;
    }
    return windows;
  }

  test("hold the samples of Python's, bit for bit, and its words", async () => {
    const windows = await made((left) => left);
    expect(windows.map(crc)).toEqual(golden.windows.audio_crc32);
    expect(windows.map((w) => [...w.tensors["word"]!])).toEqual(golden.windows.word);
    const info = windows.flatMap((w) => [...w.tensors["word_info"]!]);
    expect(worst(info, golden.windows.word_info.flat())).toBeLessThan(1e-6);
  });

  test("are the same however the audio is cut", async () => {
    const random = seeded(2);
    const windows = await made(() => 1 + Math.floor(random() * 3000));
    expect(windows.map(crc)).toEqual(golden.windows.audio_crc32);
    expect(windows.map((w) => w.step)).toEqual(windows.map((_, i) => i));
    // A word enters when it has been heard to its end, in both.
    expect(windows.map((w) => [...w.tensors["word"]!])).toEqual(golden.windows.word);
  });

  test("fill a short gap with silence and start afresh behind a long one", async () => {
    const { spec } = await tiny;
    const windower = new Windower(spec, 2, styleMixture(spec), 5);
    expect(windower.push(new Float32Array(1600).fill(1), 0)).toHaveLength(1);
    const filled = windower.push(new Float32Array(1600).fill(1), 3200);
    expect(filled.map(({ step, start }) => [step, start])).toEqual([[1, false], [2, false], [3, false]]);
    const audio = filled[0]!.tensors["audio"] as Float32Array;
    expect(audio.at(-1)).toBe(0); // samples 1494..2133, of which those from 1600 on are missing
    expect(audio.at(-600)).toBe(1);
    const [fresh] = windower.push(new Float32Array(3200), 160_000);
    expect([fresh!.step, fresh!.start]).toEqual([150, true]);
    expect([...fresh!.tensors["seed"]!]).toEqual([...gestureSeed(5, 1)]);
    expect(windower.jumps).toBe(1);
  });

  test("refuse a lookahead that the model was not trained for", async () => {
    const { spec } = await tiny;
    expect(() => new Windower(spec, 3, styleMixture(spec), 0)).toThrow(ArtifactError);
    expect(() => styleMixture(spec, { loud: 1 })).toThrow(/loud/);
  });
});

test("postprocessing and retargeting are Python's through noise, resets and rest", () => {
  const { motion } = golden;
  const skeleton = new Skeleton(motion.skeleton);
  const post = new PostProcessor(skeleton, 15, unitRest(skeleton));
  const [raw, voice] = [table(motion.raw), table(motion.voice)];
  const size = skeleton.vectors * 3;
  const posed = [...voice].map((activity, n) => {
    if (motion.settles.includes(n)) post.settle();
    const vectors = raw.slice(n * size, (n + 1) * size);
    return post.finish(vectors, activity, motion.resets.includes(n));
  });
  expect(posed.map(({ state }) => state)).toEqual(motion.states);
  for (const key of ["directions", "rotations", "positions", "root"] as const) {
    expect(worst(stacked(posed.map((p) => p[key])), table(motion[key])), key).toBeLessThan(CLOSE);
  }
});

test("a voice that is no number is quiet", () => {
  const tracker = new VoiceTracker(15);
  expect(tracker.update(0.9)).toBe("speaking");
  expect(tracker.update(0.5)).toBe("speaking");
  expect(tracker.update(NaN)).toBe("listening");
  for (let n = 0; n < 28; n++) tracker.update(0.5);
  expect(tracker.state).toBe("listening");
  expect(tracker.update(0)).toBe("idle");
});

describe("a stream", () => {
  test("has Python's frames on the golden audio and words", async () => {
    const { runner } = await tiny;
    const rest = await restPose(runner);
    expect(worst(rest, table(golden.tiny.rest))).toBeLessThan(CLOSE);
    const run = new Stream(runner, rest, { seed: golden.seed });
    sayWords(run.windower);
    const frames = await run.render(goldenAudio());
    expectRun([...frames, ...(await run.finish())], golden.tiny);
  });

  test("depends on the seed", async () => {
    const { runner } = await tiny;
    const audio = goldenAudio().subarray(0, 16_000);
    const frames = (seed: number): Promise<EngineFrame[]> =>
      new Stream(runner, table(golden.tiny.rest), { seed }).render(audio);
    const [a, b, again] = [await frames(1), await frames(2), await frames(1)];
    expect(worst(stacked(again.map((f) => f.rotations)), stacked(a.map((f) => f.rotations)))).toBe(0);
    const rotations = (run: EngineFrame[]): Float32Array => stacked(run.map((f) => f.rotations));
    expect(worst(rotations(a), rotations(b))).toBeGreaterThan(0.01);
  });

  test("starts anew after a step that was not finite, and blends", async () => {
    const { runner } = await tiny;
    let bad = false;
    let started = 0;
    const faulty = Object.create(runner, {
      step: {
        value: async (...[inputs, start, state]: Parameters<StepRunner["step"]>) => {
          if (start) started++;
          const [outputs, next] = await runner.step(inputs, start, state);
          if (bad) outputs.directions.fill(NaN);
          bad = false;
          return [outputs, next];
        },
      },
    }) as StepRunner;
    const run = new Stream(faulty, table(golden.tiny.rest));
    const audio = goldenAudio();
    const before = await run.render(audio.subarray(0, 16_000));
    bad = true;
    const after = await run.render(audio.subarray(16_000, 32_000));
    expect(before.every(({ reset }) => !reset)).toBe(true);
    expect(after.map(({ reset }) => reset)).toEqual(after.map((_, i) => i === 1));
    expect(started).toBe(2);
    for (const frame of after) expect(frame.rotations.every(Number.isFinite)).toBe(true);
    expect(after[0]!.directions).toEqual(before.at(-1)!.directions);
  });

  test("comes to rest when interrupted", async () => {
    const run = await stream();
    await run.render(goldenAudio());
    run.interrupt();
    const frames = await run.render(new Float32Array(80_000));
    expect(worst(frames.at(-1)!.directions, table(golden.tiny.rest))).toBeLessThan(1e-6);
  });
});

test("a graph that is not the manifest's is refused", async () => {
  const { spec } = await tiny;
  const session = { inputNames: ["audio"], outputNames: [], run: async () => ({}) };
  expect(() => new StepRunner(spec, session, () => ({ data: null }))).toThrow(/the graph lacks it/);
  expect(() => readManifest({ format: 2 })).toThrow(ArtifactError);
  expect(() => readManifest({ format: 1, frames_per_step: 1, fps: [15, 1] })).toThrow(ArtifactError);
  const listed = { format: 1, frames_per_step: 1, name: "old", words: { kind: "listed" } };
  expect(() => readManifest(listed)).toThrow(/words of kind listed/);
});

test.skipIf(!golden.default || !defaultModel())("the default model's frames are Python's", async () => {
  const { runner } = await openModel(defaultModel()!);
  const run = new Stream(runner, await restPose(runner), { seed: golden.seed });
  sayWords(run.windower);
  const frames = await run.render(goldenAudio());
  expectRun([...frames, ...(await run.finish())], golden.default!);
}, 60_000);
