// The golden files of the engine, which Python writes (clients/golden/engine.py).

import { existsSync, readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import * as ort from "onnxruntime-web/wasm";
import { readManifest, type ModelSpec } from "../src/engine/manifest";
import type { SkeletonData } from "../src/engine/skeleton";
import { StepRunner, type StepSession } from "../src/engine/stepRunner";

const folder = new URL("../../golden/engine/", import.meta.url);
const models = new URL("../../../streamer/data/models/", import.meta.url);

export interface Table {
  file: string;
  shape: number[];
}

/** The tables of a run through the engine. */
export interface Run {
  directions: Table;
  rotations: Table;
  positions: Table;
  root: Table;
  states: string[];
  samples: number[];
}

export interface Golden {
  seed: number;
  words: { text: string; start: number; end: number }[];
  clocks: {
    fps: [number, number];
    columns: number;
    frames: number[];
    starts: number[];
    column_ends: number[][];
    samples: number[];
    frame_of: number[];
  }[];
  gesture_seeds: { seed: number; start: number; values: number[] }[];
  hashes: { text: string; normalised: string; ids: number[] }[];
  humanoid: { bones: string[]; parents: number[]; rest: number[][] };
  resampling: Record<"input" | "44100" | "48000", Table>;
  windows: { audio_crc32: number[]; word: number[][]; word_info: number[][] };
  motion: Omit<Run, "samples"> & {
    raw: Table;
    voice: Table;
    resets: number[];
    settles: number[];
    skeleton: SkeletonData;
  };
  tiny: Run & { rest: Table };
  default?: Run & { model: string; "model.onnx": string };
}

export const golden = JSON.parse(readFileSync(new URL("golden.json", folder), "utf8")) as Golden;

export function table({ file, shape }: Table): Float32Array {
  const bytes = readFileSync(new URL(file, folder));
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  if (values.length !== shape.reduce((a, b) => a * b, 1)) throw new Error(`${file} is no ${shape.join("x")}`);
  return values;
}

/** The first 10 s of the demo in [-1, 1]. */
export function goldenAudio(): Float32Array {
  const bytes = readFileSync(new URL("audio.s16", folder));
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readInt16LE(i * 2) / 32768);
}

/** A model on the page's own run time, in Node. */
export async function openModel(at: URL): Promise<{ spec: ModelSpec; runner: StepRunner }> {
  ort.env.wasm.numThreads = 1;
  const spec = readManifest(JSON.parse(readFileSync(new URL("manifest.json", at), "utf8")));
  const session = await ort.InferenceSession.create(readFileSync(new URL("model.onnx", at)));
  const runner = new StepRunner(
    spec,
    session as unknown as StepSession,
    (type, data, dims) => new ort.Tensor(type, data as Float32Array, dims),
  );
  return { spec, runner };
}

export const tinyModel = new URL("tiny/", folder);

/** The model that `default.*` was made with; null where this checkout has another or none. */
export function defaultModel(): URL | null {
  if (!golden.default) return null;
  const at = new URL(`${golden.default.model}/`, models);
  const graph = new URL("model.onnx", at);
  if (!existsSync(graph)) return null;
  const digest = createHash("sha256").update(readFileSync(graph)).digest("hex");
  if (digest === golden.default["model.onnx"]) return at;
  throw new Error("the default model has changed: run `python clients/golden/engine.py` and commit");
}

/** The largest difference between two tables. */
export function worst(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return Infinity;
  let most = 0;
  for (let i = 0; i < got.length; i++) {
    const difference = Math.abs(got[i]! - wanted[i]!);
    if (!(difference <= most)) most = difference;
  }
  return most;
}

/** One table of the rows of many frames. */
export function stacked(rows: readonly Float32Array[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => [...row]));
}
