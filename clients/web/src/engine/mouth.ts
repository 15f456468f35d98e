// Which vowel a mouth shows, from the voice: streamer/mouth.py and streamer/face.py
// in TypeScript, to the same numbers.

import net from "../../../../streamer/data/mouth.json";
import { SAMPLE_RATE } from "./frameClock";

const WINDOW = 400;
const HOP = 160;
const BANDS = 24;
const REACH = 3;
const VOWELS = 5;
const FFT = 512;
const FLOOR = 1e-8;
const PRIOR = 100;
const MEMORY = 600;
const QUIET_DB = -55;
const RANGE_DB = 24;
const FALL_DB = 0.02;
const KEPT_HOPS = 600;
const MOUTH_FALLS = 0.4;

/** The order of a face without lids: VRM 1.0's names. */
export const EXPRESSIONS = ["aa", "ih", "ou", "ee", "oh"] as const;

interface Hop {
  clear: Float32Array;
  opened: number;
}

/** Hears one voice from sample 0 on and tells how its mouth stands. */
export class Mouth {
  private audio = new Float32Array(0);
  private start = 0;
  private next = 0;
  private readonly colour = Float64Array.from(net.colour);
  private weight = PRIOR;
  private peak = -30;
  private hops: Hop[] = [];
  private first = 0;

  /** Take the next samples at 16 kHz. */
  hear(samples: Float32Array): void {
    const audio = new Float32Array(this.audio.length + samples.length);
    audio.set(this.audio);
    audio.set(samples, this.audio.length);
    const end = this.start + audio.length;
    for (; this.next * HOP + WINDOW <= end; this.next++) {
      this.read(audio.subarray(this.next * HOP - this.start, this.next * HOP - this.start + WINDOW));
    }
    const keep = Math.min(this.next * HOP, end);
    this.audio = audio.slice(keep - this.start);
    this.start = keep;
    const spare = this.hops.length - KEPT_HOPS;
    if (spare > 0) {
      this.hops.splice(0, spare);
      this.first += spare;
    }
  }

  /** The five vowels, 0..1 each, of the samples from `start` to `end`. */
  at(start: number, end: number): number[] {
    const low = Math.max(Math.floor((start - WINDOW / 2) / HOP) + 1, this.first + REACH);
    const high = Math.min(Math.floor((end - WINDOW / 2) / HOP) + 1, this.next - REACH);
    const sums: number[] = [];
    const mixed = new Array<number>(VOWELS).fill(0);
    for (let hop = low; hop < high; hop++) {
      const at = hop - this.first;
      const shares = classify([-REACH, 0, REACH].map((d) => this.hops[at + d]!.clear));
      let sum = 0;
      for (let v = 0; v < VOWELS; v++) {
        const shown = shares[v + 1]! * this.hops[at]!.opened;
        mixed[v]! += shown;
        sum += shown;
      }
      sums.push(sum);
    }
    const total = mixed.reduce((a, b) => a + b, 0);
    if (!sums.length || total <= 1e-9) return mixed.fill(0);
    sums.sort((a, b) => b - a);
    const most = Math.max(1, Math.floor(sums.length / 3));
    const strength = sums.slice(0, most).reduce((a, b) => a + b, 0) / most;
    return mixed.map((v) => (v / total) * strength);
  }

  private read(samples: Float32Array): void {
    let power = 0;
    for (const v of samples) power += v * v;
    const level = 10 * Math.log10(power / WINDOW + 1e-12);
    const found = bands(samples);
    this.peak = Math.max(this.peak - FALL_DB, level, QUIET_DB + RANGE_DB);
    if (level > Math.max(this.peak - RANGE_DB, QUIET_DB)) {
      this.weight = Math.min(this.weight + 1, MEMORY);
      for (let i = 0; i < BANDS; i++) this.colour[i]! += (found[i]! - this.colour[i]!) / this.weight;
    }
    const opened = level > QUIET_DB ? Math.max(1 + (level - this.peak) / RANGE_DB, 0) : 0;
    this.hops.push({ clear: Float32Array.from(found, (v, i) => v - this.colour[i]!), opened });
  }
}

/** Gives the frames of one voice their face. */
export class Face {
  private readonly mouth = new Mouth();
  private readonly span: number;
  private shown = new Array<number>(VOWELS).fill(0);

  constructor(fps: number) {
    this.span = Math.round(SAMPLE_RATE / fps);
  }

  hear(samples: Float32Array): void {
    this.mouth.hear(samples);
  }

  /** The vowels of a frame's own samples: open at once, closed over a few frames. */
  vowels(sample: number): number[] {
    const heard = this.mouth.at(sample, sample + this.span);
    this.shown = heard.map((v, i) => Math.max(v, Math.min(this.shown[i]!, 1) * MOUTH_FALLS));
    const total = Math.max(1, this.shown.reduce((a, b) => a + b, 0));
    return this.shown.map((v) => (v / total < 0.02 ? 0 : v / total));
  }
}

function classify(clear: readonly Float32Array[]): number[] {
  const hidden = net.first_bias.slice();
  clear.forEach((part, p) => {
    for (let i = 0; i < BANDS; i++) {
      const row = net.first[p * BANDS + i]!;
      for (let h = 0; h < hidden.length; h++) hidden[h]! += part[i]! * row[h]!;
    }
  });
  const scores = net.second_bias.slice();
  for (let h = 0; h < hidden.length; h++) {
    const value = Math.tanh(hidden[h]!);
    for (let c = 0; c < scores.length; c++) scores[c]! += value * net.second[h]![c]!;
  }
  const top = Math.max(...scores);
  const shares = scores.map((s) => Math.exp(s - top));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((s) => s / sum);
}

const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
const EDGES = Array.from({ length: BANDS + 2 }, (_, i) => {
  const at = mel(100) + ((mel(7000) - mel(100)) * i) / (BANDS + 1);
  return 700 * (10 ** (at / 2595) - 1);
});
const TAPER = Float64Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));

/** Log energies of the mel bands of a window. */
function bands(samples: Float32Array): Float64Array {
  const re = new Float64Array(FFT);
  const im = new Float64Array(FFT);
  for (let i = 0; i < WINDOW; i++) {
    const before = i > 0 ? samples[i - 1]! : samples[0]!;
    re[i] = (samples[i]! - before + 0.03 * samples[i]!) * TAPER[i]!;
  }
  transform(re, im);
  const out = new Float64Array(BANDS);
  for (let bin = 0; bin <= FFT / 2; bin++) {
    const hertz = (bin * SAMPLE_RATE) / FFT;
    const power = re[bin]! ** 2 + im[bin]! ** 2;
    for (let b = 0; b < BANDS; b++) {
      const [low, middle, high] = [EDGES[b]!, EDGES[b + 1]!, EDGES[b + 2]!];
      const share = Math.min((hertz - low) / (middle - low), (high - hertz) / (high - middle));
      if (share > 0) out[b]! += share * power;
    }
  }
  return out.map((v) => Math.log(v + FLOOR));
}

/** A Fourier transform in place, of a power of two. */
function transform(re: Float64Array, im: Float64Array): void {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j]!, re[i]!];
      [im[i], im[j]] = [im[j]!, im[i]!];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    for (let k = 0; k < size / 2; k++) {
      const angle = (-2 * Math.PI * k) / size;
      const [wr, wi] = [Math.cos(angle), Math.sin(angle)];
      for (let a = k; a < n; a += size) {
        const b = a + size / 2;
        const xr = re[b]! * wr - im[b]! * wi;
        const xi = re[b]! * wi + im[b]! * wr;
        re[b] = re[a]! - xr;
        im[b] = im[a]! - xi;
        re[a]! += xr;
        im[a]! += xi;
      }
    }
  }
}
