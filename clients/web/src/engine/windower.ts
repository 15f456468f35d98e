// From audio and words to the inputs of each step (streamer/windowing.py).

import { FrameClock, SAMPLE_RATE } from "./frameClock";
import { ArtifactError, type ModelSpec } from "./manifest";
import { gestureSeed } from "./seed";
import { type TimedWord, type Word, WordTimeline } from "./wordTimeline";
import { wordIds } from "./words";

/** A longer gap in the audio is not filled: the stream starts afresh behind it. */
export const LONGEST_GAP = SAMPLE_RATE;

export type StepTensors = Record<string, Float32Array | Int32Array>;

/** The inputs of one step; it computes pose frame `step - lookahead`. */
export interface Window {
  step: number;
  tensors: StepTensors;
  /** The state is fresh in this step. */
  start: boolean;
  word: Word | null;
}

/**
 * Builds each step's inputs as soon as the last sample it needs has come.
 *
 * Windows depend on the samples and on the arrivals of words alone, not on how
 * the audio was cut. Samples before the stream, and in gaps, are zeros.
 */
export class Windower {
  readonly clock: FrameClock;
  /** How often a gap was too long to be filled. */
  jumps = 0;
  private readonly words: WordTimeline;
  private readonly fixed: StepTensors;
  private starts = 0;
  private fresh = true;
  private step = 0;
  private end = 0;
  private held: Float32Array;

  constructor(
    private readonly spec: ModelSpec,
    readonly lookahead: number,
    style: Float32Array,
    private readonly seed: number,
  ) {
    if (!spec.lookaheads.includes(lookahead)) {
      throw new ArtifactError(`lookahead ${lookahead}: model ${spec.name} allows ${spec.lookaheads.join(", ")}`);
    }
    this.clock = new FrameClock(spec.fps, spec.audio.columns);
    this.words = new WordTimeline(this.clock);
    this.fixed = { lookahead: Int32Array.of(lookahead), style, seed: gestureSeed(seed, 0) };
    this.held = new Float32Array(this.history);
  }

  /** One past the last sample that has been pushed. */
  get position(): number {
    return this.end;
  }

  /** Add samples of the stream from `start` on; returns the windows that they complete. */
  push(samples: Float32Array, start: number): Window[] {
    const gap = start - this.end;
    if (gap > LONGEST_GAP) {
      this.step = this.clock.frameOf(start);
      this.end = start;
      this.held = new Float32Array(this.history);
      this.restart();
      this.jumps++;
    } else if (gap > 0) {
      return [...this.append(new Float32Array(gap)), ...this.append(samples)];
    }
    return this.append(samples.subarray(Math.max(this.end - start, 0)));
  }

  /** Add a word that arrives at a sample; false if it is of no use. */
  pushWord(word: Word, arrival = this.end): boolean {
    return this.words.push(word, arrival);
  }

  /** Let the next window start a fresh state, with a gesture code of its own. */
  restart(): void {
    if (this.fresh) return;
    this.fresh = true;
    this.starts++;
    this.fixed["seed"] = gestureSeed(this.seed, this.starts);
  }

  /** Forget the words that wait, and hear the past as silence. */
  forget(): void {
    this.words.clear();
    this.held.fill(0);
  }

  private get history(): number {
    return this.spec.audio.window + this.clock.end(0) + 1;
  }

  private append(samples: Float32Array): Window[] {
    const base = this.end - this.held.length;
    const all = new Float32Array(this.held.length + samples.length);
    all.set(this.held);
    all.set(samples, this.held.length);
    this.end += samples.length;
    const windows: Window[] = [];
    for (; this.clock.end(this.step) <= this.end; this.step++) {
      windows.push(this.window(all, base));
    }
    this.held = all.slice(-this.history);
    return windows;
  }

  private window(heard: Float32Array, base: number): Window {
    const word = this.words.take(this.step);
    const tensors: StepTensors = {};
    for (const { name } of this.spec.inputs) tensors[name] = this.tensor(name, heard, base, word);
    const window = { step: this.step, tensors, start: this.fresh, word: word?.word ?? null };
    this.fresh = false;
    return window;
  }

  private tensor(
    name: string,
    heard: Float32Array,
    base: number,
    word: TimedWord | null,
  ): Float32Array | Int32Array {
    switch (name) {
      case "audio":
        return this.audio(heard, base);
      case "word":
        return wordIds(word?.word.text ?? "", this.spec.words);
      case "word_info":
        return word
          ? Float32Array.of(1, Math.log1p(word.age), word.word.final ? 1 : 0)
          : new Float32Array(3);
      default:
        return this.fixed[name]!;
    }
  }

  private audio(heard: Float32Array, base: number): Float32Array {
    const { window, columns } = this.spec.audio;
    const out = new Float32Array(columns * window);
    for (let column = 0; column < columns; column++) {
      const end = this.clock.columnEnd(this.step, column) - base;
      out.set(heard.subarray(end - window, end), column * window);
    }
    return out;
  }
}

/** The style vector, summing to 1; the model's default style if no weights are given. */
export function styleMixture(
  spec: Pick<ModelSpec, "styles" | "defaultStyle">,
  weights: Readonly<Record<string, number>> = {},
): Float32Array {
  const chosen = Object.keys(weights).length > 0 ? weights : { [spec.defaultStyle]: 1 };
  const unknown = Object.keys(chosen).find((name) => !spec.styles.includes(name));
  if (unknown) {
    throw new RangeError(`style ${unknown} is unknown; the model has ${spec.styles.join(", ")}`);
  }
  const given = spec.styles.map((name) => chosen[name] ?? 0);
  const total = given.reduce((sum, weight) => sum + weight, 0);
  if (!Number.isFinite(total) || total <= 0 || given.some((weight) => weight < 0)) {
    throw new RangeError("style weights must be numbers >= 0 with a positive sum");
  }
  return Float32Array.from(given, (weight) => weight / total);
}
