// A model from a folder on onnxruntime-node, for desktop programs and servers.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readManifest, type ModelSpec } from "../engine/manifest";
import { StepRunner, type MakeTensor, type StepSession } from "../engine/stepRunner";
import { restPose, Stream, type StreamOptions } from "../engine/stream";

export interface Model {
  readonly spec: ModelSpec;
  /** A new stream; one model runs any number, one step after the other. */
  stream(options?: StreamOptions): Stream;
  /** Free what the run time holds. */
  close(): Promise<void>;
}

export interface ModelOptions {
  /** Threads of one step; more than 1 is seldom quicker. */
  threads?: number;
}

/**
 * Open an artifact folder (`manifest.json`, `model.onnx`); needs `onnxruntime-node`.
 *
 * Throws `ArtifactError` for one that does not fit, and what the run time throws.
 */
export async function openModel(folder: string, { threads = 1 }: ModelOptions = {}): Promise<Model> {
  const ort = await import("onnxruntime-node");
  const spec = readManifest(JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")));
  const session = await ort.InferenceSession.create(join(folder, "model.onnx"), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const makeTensor: MakeTensor = (type, data, dims) => new ort.Tensor(type, data as Float32Array, dims);
  const runner = new StepRunner(spec, session as unknown as StepSession, makeTensor);
  const rest = await restPose(runner);
  return {
    spec,
    stream: (options) => new Stream(runner, rest, options),
    close: () => session.release(),
  };
}
