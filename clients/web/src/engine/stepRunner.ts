// Runs a model's step graph with its state carried from step to step. Nothing
// here depends on a run time: onnxruntime-web and onnxruntime-node both fit.

import { ArtifactError, type ModelSpec, type TensorSpec } from "./manifest";
import type { StepTensors } from "./windower";

/** What is used of an onnxruntime `Tensor`. */
export interface TensorLike {
  readonly data: unknown;
  dispose?(): void;
}

/** What is used of an onnxruntime `InferenceSession`. */
export interface StepSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, TensorLike>): Promise<Record<string, TensorLike>>;
}

/** Makes a tensor of the run time: `(type, data, dims) => new ort.Tensor(...)`. */
export type MakeTensor = (
  type: "float32" | "int32" | "bool",
  data: Float32Array | Int32Array | Uint8Array,
  dims: number[],
) => TensorLike;

/** The state of one stream; it is moved: after a step use only the one that came back. */
export type StepState = Record<string, Float32Array | Int32Array>;

export interface StepOutputs {
  directions: Float32Array;
  voice: number;
}

export class StepRunner {
  /** Throws `ArtifactError` where graph and manifest do not belong together. */
  constructor(
    readonly spec: ModelSpec,
    private readonly session: StepSession,
    private readonly makeTensor: MakeTensor,
  ) {
    const names = (specs: readonly TensorSpec[]): string[] => specs.map(({ name }) => name);
    const state = names(spec.state);
    compare("input", [...names(spec.inputs), ...state, "start", "ready"], session.inputNames);
    const next = state.map((name) => `next_${name}`);
    compare("output", [...names(spec.outputs), ...next], session.outputNames);
  }

  /** A state of zeros; a stream's first step starts it in the graph. */
  initialState(): StepState {
    return Object.fromEntries(
      this.spec.state.map(({ name, dtype, shape }) => {
        const size = shape.reduce((product, n) => product * n, 1);
        return [name, dtype === "int32" ? new Int32Array(size) : new Float32Array(size)];
      }),
    );
  }

  /** Advance one stream by one step. */
  async step(
    inputs: StepTensors,
    start: boolean,
    state: StepState,
  ): Promise<[StepOutputs, StepState]> {
    const feeds: Record<string, TensorLike> = {
      start: this.makeTensor("bool", Uint8Array.of(start ? 1 : 0), [1]),
      ready: this.makeTensor("bool", Uint8Array.of(1), [1]),
    };
    for (const { name, dtype, shape } of this.spec.inputs) {
      feeds[name] = this.makeTensor(dtype, inputs[name]!, [1, ...shape]);
    }
    for (const { name, dtype, shape } of this.spec.state) {
      feeds[name] = this.makeTensor(dtype, state[name]!, [1, ...shape]);
    }
    const results = await this.session.run(feeds);
    const next: StepState = {};
    for (const { name } of this.spec.state) {
      next[name] = results[`next_${name}`]!.data as Float32Array | Int32Array;
    }
    const directions = results["directions"]!.data as Float32Array;
    const voice = (results["voice"]!.data as Float32Array)[0]!;
    return [{ directions, voice }, next];
  }
}

function compare(kind: string, wanted: readonly string[], got: readonly string[]): void {
  const missing = wanted.find((name) => !got.includes(name));
  const foreign = got.find((name) => !wanted.includes(name));
  if (missing ?? foreign) {
    const where = missing ? "graph" : "manifest";
    throw new ArtifactError(`${kind} ${missing ?? foreign}: the ${where} lacks it; export the model again`);
  }
}
