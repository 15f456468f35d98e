// How an interrupted pose stops, and how it then comes to rest (streamer/settling.py).
//
// It stops first: each vector goes on along its own arc, ever more slowly, and
// stands still before 200 ms have passed. Then it eases home so slowly that it
// reads as letting go, not as a gesture.

import type { Skeleton } from "./skeleton";
import { blend, ease, onward } from "./vectors";

const STOP_S = 0.2; // from the interrupt until nothing moves, display included
const HOME_M_S = 0.38; // the fastest joint goes home at most so fast
const HOME_S = 1; // the way home takes at least
const SAMPLES = 12;

/** The poses of one interrupt, in order, endless: the last one is `rest`. */
export class Settling {
  private readonly stops: readonly number[];
  private stopped: Float32Array | null = null;
  private frames = 0;
  private home = 1;

  /** before, shown: the last two poses, rest: where to, all [D * 3] unit vectors. */
  constructor(
    private readonly before: Float32Array,
    private readonly shown: Float32Array,
    private readonly rest: Float32Array,
    private readonly skeleton: Skeleton,
    private readonly fps: number,
  ) {
    this.stops = stopping(fps);
  }

  next(): Float32Array {
    this.frames++;
    const { stops, frames } = this;
    if (frames <= stops.length) return onward(this.before, this.shown, sum(stops.slice(0, frames)));
    if (!this.stopped) {
      this.stopped = onward(this.before, this.shown, sum(stops));
      this.home = this.framesHome(this.stopped);
    }
    const done = (frames - stops.length) / this.home;
    return blend(this.stopped, this.rest, ease(Math.min(done, 1)));
  }

  /** How many frames the way home takes, for the joint with the longest way. */
  private framesHome(pose: Float32Array): number {
    let fastest = 0;
    let last = this.skeleton.positions(pose);
    for (let n = 1; n <= SAMPLES; n++) {
      const next = this.skeleton.positions(blend(pose, this.rest, n / SAMPLES));
      for (let i = 0; i < next.length; i += 3) {
        const way = Math.hypot(next[i]! - last[i]!, next[i + 1]! - last[i + 1]!, next[i + 2]! - last[i + 2]!);
        fastest = Math.max(fastest, way * SAMPLES);
      }
      last = next;
    }
    // `ease` is at most 1.5 times as fast as an even way.
    return Math.ceil(Math.max((1.5 * fastest) / HOME_M_S, HOME_S) * this.fps);
  }
}

/** The speeds of the frames in which a pose stops, as shares of what it had. */
function stopping(fps: number): number[] {
  const frames = Math.max(Math.floor(STOP_S * fps) - 1, 1);
  return Array.from({ length: frames }, (_, k) => 1 - ease((k + 1) / (frames + 1)));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
