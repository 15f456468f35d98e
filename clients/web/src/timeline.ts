// The last frames of the stream, and the pose between two of them.

import type { Frame, VoiceState } from "./protocol";

const KEPT = 32;
const NEARLY_SAME = 0.9999;

/** A pose to write into: xyzw rotations of every bone in a row, hips offset. */
export interface Pose {
  rotations: Float32Array;
  root: Float32Array;
}

export function newPose(bones: number): Pose {
  const rotations = new Float32Array(bones * 4);
  for (let i = 3; i < rotations.length; i += 4) rotations[i] = 1;
  return { rotations, root: new Float32Array(3) };
}

export function copyPose(into: Pose, from: Pose): void {
  into.rotations.set(from.rotations);
  into.root.set(from.root);
}

/** Write the pose a part `t` of the way from `a` to `b` (by slerp) into `into`. */
export function blendPoses(into: Pose, a: Pose, b: Pose, t: number): void {
  for (let i = 0; i < into.rotations.length; i += 4) slerp(into.rotations, a.rotations, b.rotations, i, t);
  for (let i = 0; i < 3; i++) into.root[i] = a.root[i]! + (b.root[i]! - a.root[i]!) * t;
}

/** The rotation `t` of the way from `a` to `b` on the shorter arc, of the four numbers at `i`. */
function slerp(into: Float32Array, a: Float32Array, b: Float32Array, i: number, t: number): void {
  let cosine = 0;
  for (let k = i; k < i + 4; k++) cosine += a[k]! * b[k]!;
  const sign = cosine < 0 ? -1 : 1;
  let [from, to] = [1 - t, t * sign];
  if (cosine * sign < NEARLY_SAME) {
    const angle = Math.acos(cosine * sign);
    const sine = Math.sin(angle);
    from = Math.sin((1 - t) * angle) / sine;
    to = (sign * Math.sin(t * angle)) / sine;
  }
  let square = 0;
  for (let k = i; k < i + 4; k++) square += (into[k] = from * a[k]! + to * b[k]!) ** 2;
  const norm = Math.sqrt(square) || 1;
  for (let k = i; k < i + 4; k++) into[k]! /= norm;
}

export interface Sampled {
  state: VoiceState;
  starved: number;
  face: Float32Array | null;
}

/** Frames by sample index, oldest first; gaps are bridged, old frames forgotten. */
export class Timeline {
  private frames: Frame[] = [];

  get newest(): Frame | undefined {
    return this.frames[this.frames.length - 1];
  }

  clear(): void {
    this.frames = [];
  }

  /** Take a frame; one that is not newer than the last is ignored. */
  push(frame: Frame): void {
    if (this.newest && frame.sample <= this.newest.sample) return;
    this.frames.push(frame);
    if (this.frames.length > KEPT) this.frames.shift();
  }

  /**
   * Write the pose at `sample` into `into`, held at both ends.
   *
   * Returns the voice state there and `starved`: how many samples past the
   * newest frame we are, 0 while inside; and the face, if frames have one. Null
   * while there is no frame.
   */
  sample(sample: number, into: Pose): Sampled | null {
    const newest = this.newest;
    const oldest = this.frames[0];
    if (!newest || !oldest) return null;
    if (sample >= newest.sample || sample <= oldest.sample) {
      const held = sample >= newest.sample ? newest : oldest;
      copyPose(into, held);
      const starved = Math.max(0, sample - newest.sample);
      return { state: held.state, starved, face: held.face ?? null };
    }
    let i = this.frames.length - 1;
    while (this.frames[i - 1]!.sample > sample) i--;
    const a = this.frames[i - 1]!;
    const b = this.frames[i]!;
    const t = (sample - a.sample) / (b.sample - a.sample);
    blendPoses(into, a, b, t);
    const face = a.face && b.face ? a.face.map((v, k) => v + t * (b.face![k]! - v)) : null;
    return { state: b.state, starved: 0, face };
  }
}
