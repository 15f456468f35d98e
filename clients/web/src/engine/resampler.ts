// A short streaming resampler for live audio (streamer/audio/resample.py).

import { SAMPLE_RATE } from "./frameClock";

const HALF_S = 0.00275;
const ATTENUATION_DB = 75;
const TRANSITION_HZ = (ATTENUATION_DB - 7.95) / (2.285 * 2 * Math.PI * 2 * HALF_S);

/**
 * Resamples mono audio of one stream to 16 kHz by an exact ratio, chunk by chunk.
 *
 * A windowed sinc of 5.5 ms: output sample k is the input at time k / 16000 s and
 * leaves once the input reaches 2.75 ms past it. Any chunking gives the same.
 */
export class Resampler {
  private readonly up: number;
  private readonly down: number;
  private readonly half: number;
  private readonly taps: readonly Float64Array[];
  private held: Float64Array;
  private first: number; // input index of held[0]
  private next = 0; // output index that comes next

  /** rate: of the input, a whole number of hertz. */
  constructor(rate: number) {
    const common = divisor(SAMPLE_RATE, rate);
    this.up = SAMPLE_RATE / common;
    this.down = rate / common;
    this.half = Math.trunc(HALF_S * rate);
    this.taps = design(this.up, rate, this.half);
    this.held = new Float64Array(this.half);
    this.first = -this.half;
  }

  /** The samples at 16 kHz that this input completes. */
  push(samples: Float32Array): Float32Array {
    const all = new Float64Array(this.held.length + samples.length);
    all.set(this.held);
    all.set(samples, this.held.length);
    const { up, down, half } = this;
    const reach = this.first + all.length - half;
    const count = Math.max(0, Math.ceil((reach * up) / down) - this.next);
    const out = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const at = (this.next + i) * down;
      const from = Math.floor(at / up) - half - this.first;
      const taps = this.taps[at % up]!;
      let sum = 0;
      for (let k = 0; k < taps.length; k++) sum += taps[k]! * all[from + k]!;
      out[i] = sum;
    }
    this.next += count;
    const keep = Math.max(0, Math.floor((this.next * down) / up) - half - this.first);
    this.held = all.slice(keep);
    this.first += keep;
    return out;
  }
}

/** The taps of each phase; each row sums to 1. */
function design(up: number, rate: number, half: number): Float64Array[] {
  const cutoff = (Math.min(rate, SAMPLE_RATE) - TRANSITION_HZ) / rate; // of the input's Nyquist
  const beta = 0.1102 * (ATTENUATION_DB - 8.7);
  return Array.from({ length: up }, (_, phase) => {
    const taps = Float64Array.from({ length: 2 * half + 1 }, (_, i) => {
      const offset = i - half - phase / up;
      const inside = Math.max(0, 1 - (offset / (half + 1)) ** 2);
      return sinc(cutoff * offset) * bessel(beta * Math.sqrt(inside));
    });
    const total = taps.reduce((sum, tap) => sum + tap, 0);
    return taps.map((tap) => tap / total);
  });
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of order 0, by its series. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
