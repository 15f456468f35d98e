// Where the stream is now, from when its frames arrive.

const WINDOW_S = 8;
const JUMP_S = 0.25;
const JUMP_FRAMES = 8;
const SLEW = 0.03; // of the speed of time
const MAX_MARGIN_S = 0.045;

/**
 * Estimates the stream time of the newest frame that could be here by now.
 *
 * A frame is never early, only late: the least delay of a window is the true
 * offset between the clocks, whatever bursts and stalls lie in between
 * (minimum-delay filter). Changes (drift, a shorter path) are followed so slowly
 * that nobody sees them; a real jump of the stream is taken at once.
 * All times are seconds.
 */
export class StreamClock {
  private arrivals: { at: number; delay: number }[] = [];
  private offset = NaN;
  private target = NaN;
  private margin = 0;
  private wanted = 0;
  private jumped = 0;
  private last = NaN;

  get synced(): boolean {
    return !Number.isNaN(this.offset);
  }

  /** How late frames come, beyond the earliest: what playback waits for, seconds. */
  get jitter(): number {
    return this.margin;
  }

  /** Forget everything: the stream starts anew. */
  reset(): void {
    this.arrivals = [];
    this.offset = this.target = this.last = NaN;
    this.margin = this.wanted = 0;
    this.jumped = 0;
  }

  /**
   * Note a frame of stream time `stream` that arrived at local time `at`.
   *
   * `fresh` frames may follow a gap: then even one late frame is a jump.
   */
  arrive(stream: number, at: number, fresh = false): void {
    const delay = at - stream;
    if (!this.synced) {
      this.arrivals = [{ at, delay }];
      this.offset = this.target = delay;
      return;
    }
    // Late by a lot and again and again: the stream itself moved back.
    this.jumped = delay - this.target > JUMP_S ? this.jumped + 1 : 0;
    const moved = this.jumped >= (fresh ? 1 : JUMP_FRAMES);
    if (moved || this.target - delay > JUMP_S) {
      this.reset();
      this.arrive(stream, at);
      return;
    }
    this.arrivals.push({ at, delay });
    while (this.arrivals.length > 0 && at - this.arrivals[0]!.at > WINDOW_S) this.arrivals.shift();
    const delays = this.arrivals.map((a) => a.delay).sort((a, b) => a - b);
    this.target = delays[0]!;
    const late = delays[Math.floor(0.9 * (delays.length - 1))]! - this.target;
    this.wanted = Math.min(late, MAX_MARGIN_S);
    // After a long pause the old arrivals are gone at once: slewing would take minutes.
    if (Math.abs(this.target - this.offset) > JUMP_S) this.offset = this.target;
  }

  /** Stream time of playback at local time `at`, `behind` seconds after the newest frame. */
  time(at: number, behind: number): number {
    const step = Number.isNaN(this.last) ? Infinity : Math.max(0, at - this.last) * SLEW;
    this.last = at;
    this.offset = approach(this.offset, this.target, step);
    this.margin = approach(this.margin, this.wanted, step);
    return at - this.offset - this.margin - behind;
  }
}

function approach(value: number, target: number, step: number): number {
  return value < target ? Math.min(value + step, target) : Math.max(value - step, target);
}
