// One stream through a model: audio and words in, frames out, in order. The
// parts of streamer/session.py that decide what a frame is.

import type { VoiceState } from "../protocol";
import type { ModelSpec } from "./manifest";
import { PostProcessor, unitRest } from "./postprocess";
import type { StepRunner, StepState } from "./stepRunner";
import { unitVectors } from "./vectors";
import { styleMixture, type Window, Windower } from "./windower";
import { SAMPLE_RATE } from "./frameClock";

const REST_S = 2;
/** As streamer.windowing.DEFAULT_SEED: its first minutes draw the most varied gestures. */
const DEFAULT_SEED = 18;

/** One pose that leaves the engine; numbers as in `clients/PROTOCOL.md`. */
export interface EngineFrame {
  index: number;
  sample: number;
  state: VoiceState;
  reset: boolean;
  root: Float32Array;
  rotations: Float32Array;
  positions: Float32Array;
  directions: Float32Array;
}

export interface StreamOptions {
  /** A in frames; the model's default if left out. */
  lookahead?: number;
  /** Weights by style name; equal parts if left out. */
  style?: Readonly<Record<string, number>>;
  /** The same audio, words and seed give the same frames. */
  seed?: number;
}

/** Ask for one step at a time: await `step` before the next. */
export class Stream {
  readonly windower: Windower;
  private readonly post: PostProcessor;
  private state: StepState;
  private frames = 0;
  private broken = false;

  /** rest: from `restPose`, once per model. */
  constructor(
    private readonly runner: StepRunner,
    rest: Float32Array,
    options: StreamOptions = {},
  ) {
    const { spec } = runner;
    this.windower = new Windower(
      spec,
      options.lookahead ?? spec.defaultLookahead,
      styleMixture(spec, options.style),
      options.seed ?? DEFAULT_SEED,
    );
    this.post = new PostProcessor(spec.skeleton, framesPerSecond(spec), rest);
    this.state = runner.initialState();
  }

  /** Run the next window; null while frames still wait for their lookahead. */
  async step(window: Window): Promise<EngineFrame | null> {
    const fresh = window.start || this.broken;
    const [outputs, state] = await this.runner.step(window.tensors, fresh, this.state);
    this.state = state;
    this.broken = !outputs.directions.every(Number.isFinite);
    const index = window.step - this.windower.lookahead;
    if (index < 0) return null;
    const reset = fresh && this.frames > 0;
    this.frames++;
    const posed = this.post.finish(outputs.directions, outputs.voice, reset);
    return { index, sample: this.windower.clock.start(index), reset, ...posed };
  }

  /** Forget words and past audio; stop within 200 ms and drift home, until the voice begins anew. */
  interrupt(): void {
    this.windower.forget();
    this.post.settle();
  }

  /** The frames that still wait for their lookahead, completed with silence. */
  async finish(): Promise<EngineFrame[]> {
    const { clock, lookahead, position } = this.windower;
    const end = clock.end(clock.frameOf(position) + lookahead - 1);
    return this.render(new Float32Array(Math.max(end - position, 0)));
  }

  /** All frames of audio that is there at once, from where the stream is. */
  async render(samples: Float32Array): Promise<EngineFrame[]> {
    const frames: EngineFrame[] = [];
    for (const window of this.windower.push(samples, this.windower.position)) {
      const frame = await this.step(window);
      if (frame) frames.push(frame);
    }
    return frames;
  }
}

/** The pose [D * 3] to which a model comes in silence, as unit vectors; warms it up, too. */
export async function restPose(runner: StepRunner): Promise<Float32Array> {
  const { spec } = runner;
  const windower = new Windower(spec, spec.defaultLookahead, styleMixture(spec), 0);
  const mean = unitRest(spec.skeleton);
  let state = runner.initialState();
  let directions = mean;
  for (const window of windower.push(new Float32Array(REST_S * SAMPLE_RATE), 0)) {
    const [outputs, next] = await runner.step(window.tensors, window.start, state);
    state = next;
    directions = outputs.directions;
  }
  return unitVectors(directions, mean);
}

export function framesPerSecond(spec: ModelSpec): number {
  return spec.fps.numerator / spec.fps.denominator;
}
