// A browser's microphone as the audio messages of `clients/PROTOCOL.md`.

import { Resampler } from "./engine/resampler";
import { SAMPLE_RATE } from "./engine/frameClock";

const HEADER_BYTES = 16;
const MAGIC = 0x41545347; // "GSTA", little-endian
const SAMPLES = 640; // 40 ms a message

/** One audio message: samples in [-1, 1] at 16 kHz, the first of which is `start`. */
export function audioMessage(samples: Float32Array, start: number): ArrayBuffer {
  const message = new ArrayBuffer(HEADER_BYTES + 2 * samples.length);
  const view = new DataView(message);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, 1);
  view.setBigUint64(8, BigInt(start), true);
  samples.forEach((sample, i) => {
    const value = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    view.setInt16(HEADER_BYTES + 2 * i, value, true);
  });
  return message;
}

/** Turns audio at a sound card's rate into messages; one stream's own. */
export class Pcm {
  private readonly resampler: Resampler | null;
  private held = new Float32Array(0);
  private start = 0;

  constructor(rate: number) {
    this.resampler = rate === SAMPLE_RATE ? null : new Resampler(rate);
  }

  push(samples: Float32Array): ArrayBuffer[] {
    const fresh = this.resampler?.push(samples) ?? samples;
    const all = new Float32Array(this.held.length + fresh.length);
    all.set(this.held);
    all.set(fresh, this.held.length);
    const messages: ArrayBuffer[] = [];
    let at = 0;
    for (; at + SAMPLES <= all.length; at += SAMPLES) {
      messages.push(audioMessage(all.subarray(at, at + SAMPLES), this.start));
      this.start += SAMPLES;
    }
    this.held = all.slice(at);
    return messages;
  }
}
