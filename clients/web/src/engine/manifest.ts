// What an artifact says about itself: manifest.json (streamer/spec.py).

import type { Fraction } from "./frameClock";
import { Skeleton, type SkeletonData } from "./skeleton";

const FORMAT = 1;

export type Dtype = "float32" | "int32";

/** One named tensor of a step; `shape` leaves out the leading slot axis. */
export interface TensorSpec {
  name: string;
  shape: readonly number[];
  dtype: Dtype;
}

/** Hashed words: `slots` n-gram ids in [1, buckets) per word, 0 for none. */
export interface WordSpec {
  /** `hashed`, which manifests that say nothing mean; this engine knows no other. */
  kind?: string;
  buckets: number;
  slots: number;
}

/** Everything the engine must know to run a step of a model. */
export interface ModelSpec {
  name: string;
  fps: Fraction;
  lookaheads: readonly number[];
  defaultLookahead: number;
  audio: { window: number; columns: number };
  words: WordSpec;
  styles: readonly string[];
  defaultStyle: string;
  inputs: readonly TensorSpec[];
  outputs: readonly TensorSpec[];
  state: readonly TensorSpec[];
  skeleton: Skeleton;
  /** SHA-256 of the artifact's files by name. */
  files: Readonly<Record<string, string>>;
  licence: string;
}

/** The artifact is not one that this engine can run. */
export class ArtifactError extends Error {}

interface ManifestJson {
  format: number;
  name: string;
  fps: [number, number];
  frames_per_step: number;
  lookaheads: number[];
  default_lookahead: number;
  audio: { window: number; columns: number };
  words: WordSpec;
  styles: string[];
  default_style: string;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  state: TensorSpec[];
  skeleton: SkeletonData;
  files: Record<string, string>;
  licence: string;
}

/** Read a parsed `manifest.json`; throws `ArtifactError`. */
export function readManifest(json: unknown): ModelSpec {
  const data = json as ManifestJson;
  if (typeof data !== "object" || data === null || data.format !== FORMAT) {
    throw new ArtifactError(`manifest.json is not of format ${FORMAT}; export the model again`);
  }
  if (data.frames_per_step !== 1) {
    throw new ArtifactError(`model ${data.name}: ${data.frames_per_step} frames a step; this engine runs 1`);
  }
  if ((data.words?.kind ?? "hashed") !== "hashed") {
    throw new ArtifactError(`model ${data.name}: words of kind ${data.words.kind}; this engine hashes them`);
  }
  let spec: ModelSpec;
  try {
    spec = {
      name: data.name,
      fps: { numerator: data.fps[0], denominator: data.fps[1] },
      lookaheads: data.lookaheads,
      defaultLookahead: data.default_lookahead,
      audio: data.audio,
      words: data.words,
      styles: data.styles,
      defaultStyle: data.default_style,
      inputs: data.inputs,
      outputs: data.outputs,
      state: data.state,
      skeleton: new Skeleton(data.skeleton),
      files: data.files,
      licence: data.licence,
    };
    checkInputs(spec);
  } catch (error) {
    if (error instanceof ArtifactError) throw error;
    throw new ArtifactError(`manifest.json: missing or malformed field (${String(error)})`);
  }
  return spec;
}

function checkInputs(spec: ModelSpec): void {
  const known: Record<string, string> = {
    audio: `float32 ${spec.audio.columns},${spec.audio.window}`,
    word: `int32 ${spec.words.slots}`,
    word_info: "float32 3",
    lookahead: "int32 1",
    style: `float32 ${spec.styles.length}`,
    seed: "float32 3",
  };
  for (const { name, dtype, shape } of spec.inputs) {
    if (known[name] !== `${dtype} ${shape.join(",")}`) {
      throw new ArtifactError(`model ${spec.name}: input ${name} ${dtype} [${shape.join(", ")}] is unknown here`);
    }
  }
}
