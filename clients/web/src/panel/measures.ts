// What the meters show, computed from what streams by.

import type { Frame } from "../protocol";

const FOLLOW_S = 0.3;
const TURNED = /UpperArm|LowerArm|Hand$/;

/** How fast arms and hands turn, degrees a second, smoothed over 0.3 s. */
export class Energy {
  value = 0;
  private bones: readonly number[] = [];
  private last: Frame | null = null;

  /** The stream's bones have changed. */
  begin(bones: readonly string[]): void {
    this.bones = bones.flatMap((bone, i) => (TURNED.test(bone) ? [i] : []));
    this.last = null;
    this.value = 0;
  }

  push(frame: Frame, sampleRate: number): void {
    const { last } = this;
    this.last = frame;
    if (!last || frame.reset || frame.sample <= last.sample || this.bones.length === 0) return;
    const seconds = (frame.sample - last.sample) / sampleRate;
    let turned = 0;
    for (const bone of this.bones) turned += angleBetween(last.rotations, frame.rotations, bone * 4);
    const speed = turned / this.bones.length / seconds;
    this.value += (speed - this.value) * (1 - Math.exp(-seconds / FOLLOW_S));
  }
}

function angleBetween(a: Float32Array, b: Float32Array, at: number): number {
  let cosine = 0;
  for (let i = at; i < at + 4; i++) cosine += a[i]! * b[i]!;
  return (2 * Math.acos(Math.min(Math.abs(cosine), 1)) * 180) / Math.PI;
}

/** Values of the last `span` seconds, oldest first. */
export class History {
  readonly points: { at: number; value: number }[] = [];

  constructor(readonly span: number) {}

  push(at: number, value: number): void {
    if (!Number.isFinite(value)) return;
    this.points.push({ at, value });
    while (this.points.length > 0 && at - this.points[0]!.at > this.span) this.points.shift();
  }

  get last(): number {
    return this.points.at(-1)?.value ?? NaN;
  }

  get most(): number {
    return this.points.reduce((most, { value }) => Math.max(most, value), 0);
  }
}
