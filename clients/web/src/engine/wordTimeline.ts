// When each word enters the network: at most one a step (streamer/asr/timeline.py).

import { type FrameClock, SAMPLE_RATE } from "./frameClock";
import { normalise } from "./words";

const FURTHEST = 30 * SAMPLE_RATE;
const CAPACITY = 256;

/** A recognised or known word; start and end are samples of the stream. */
export interface Word {
  text: string;
  start: number;
  end: number;
  final: boolean;
}

/** A word in the step where it enters; `age` in steps since the one in which it began. */
export interface TimedWord {
  word: Word;
  age: number;
}

export class WordTimeline {
  private waiting: { step: number; word: Word }[] = [];

  constructor(private readonly clock: FrameClock) {}

  /** Add a word that arrives at a sample; false if it is of no use. */
  push(word: Word, arrival: number): boolean {
    const far = Math.abs(word.start - arrival) > FURTHEST;
    if (far || !normalise(word.text) || this.waiting.length >= CAPACITY) return false;
    const step = Math.max(this.clock.frameOf(Math.max(arrival, 0)), this.frame(word));
    const after = this.waiting.findIndex((other) => other.step > step);
    this.waiting.splice(after < 0 ? this.waiting.length : after, 0, { step, word });
    return true;
  }

  /** The word that enters in this step; steps are asked for in order. */
  take(step: number): TimedWord | null {
    const first = this.waiting[0];
    if (!first || first.step > step) return null;
    this.waiting.shift();
    return { word: first.word, age: step - this.frame(first.word) };
  }

  clear(): void {
    this.waiting = [];
  }

  private frame(word: Word): number {
    return this.clock.frameOf(Math.max(word.start, 0));
  }
}
