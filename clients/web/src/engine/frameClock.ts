// Exact conversion between samples, frames and mel columns (streamer/clock.py).

export const SAMPLE_RATE = 16_000;

/** A rational number of whole parts. */
export interface Fraction {
  numerator: number;
  denominator: number;
}

/**
 * Maps pose frames to samples: frame n covers [start(n), start(n + 1)).
 *
 * 16000 / 15 is no integer: everything here is whole numbers below 2^53, which
 * doubles hold exactly, for some 90 years of stream.
 */
export class FrameClock {
  constructor(
    readonly fps: Fraction,
    /** Mel columns per pose frame. */
    readonly columns = 1,
  ) {}

  /** The first sample of a frame: round(frame * 16000 / fps). */
  start(frame: number): number {
    return roundedQuotient(frame * SAMPLE_RATE * this.fps.denominator, this.fps.numerator);
  }

  /** One past the last sample of a frame. */
  end(frame: number): number {
    return this.start(frame + 1);
  }

  /** The frame that covers a sample. */
  frameOf(sample: number): number {
    let frame = quotient(sample * this.fps.numerator, SAMPLE_RATE * this.fps.denominator);
    while (this.start(frame) > sample) frame--;
    while (this.end(frame) <= sample) frame++;
    return frame;
  }

  /** One past the last sample of a mel column of a frame. */
  columnEnd(frame: number, column: number): number {
    const columns = frame * this.columns + column + 1;
    return roundedQuotient(
      columns * SAMPLE_RATE * this.fps.denominator,
      this.fps.numerator * this.columns,
    );
  }
}

/** Floor of a / b; b > 0. */
function quotient(a: number, b: number): number {
  const rest = ((a % b) + b) % b;
  return (a - rest) / b;
}

/** a / b to the nearest whole number, halves up. */
function roundedQuotient(a: number, b: number): number {
  return quotient(2 * a + b, 2 * b);
}
