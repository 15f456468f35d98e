// From what a step puts out to poses fit to be seen (streamer/postprocess.py).

import type { VoiceState } from "../protocol";
import { BONES, PARENTS, restOffset } from "./humanoid";
import { clamp } from "./rotation";
import { Retargeter } from "./retargeter";
import type { Skeleton } from "./skeleton";

const BLEND_S = 0.3; // from the last pose to the new stream's after a reset
const SETTLE_S = 0.5; // from an interrupted pose to rest
const IDLE_S = 2; // of quiet turn listening into idle
const CONFIDENT = 0.3;
const SPEAKING = 0.6;
const QUIET = 0.4;

/** A finished pose. */
export interface Posed {
  rotations: Float32Array;
  root: Float32Array;
  /** Joint positions [J * 3] in VRM 1.0 axes, metres. */
  positions: Float32Array;
  /** Unit vectors [D * 3] in the skeleton's axes. */
  directions: Float32Array;
  state: VoiceState;
}

/** Speaking, listening or idle, from voice activity in 0..1, with hysteresis. */
export class VoiceTracker {
  state: VoiceState = "listening";
  private quiet = 0;
  private readonly idleAfter: number;

  constructor(fps: number) {
    this.idleAfter = rounded(IDLE_S * fps);
  }

  /** Take the voice activity of the next frame; anything not finite counts as quiet. */
  update(voice: number): VoiceState {
    if (voice > (this.state === "speaking" ? QUIET : SPEAKING)) {
      this.state = "speaking";
      this.quiet = 0;
    } else {
      this.quiet++;
      this.state = this.quiet >= this.idleAfter ? "idle" : "listening";
    }
    return this.state;
  }
}

/** Finishes the poses of one stream, in order. */
export class PostProcessor {
  private readonly retargeter: Retargeter;
  private readonly voice: VoiceTracker;
  private readonly anchor: Float32Array;
  private readonly blendFrames: number;
  private readonly settleFrames: number;
  private shown: Float32Array;
  private raw: Float32Array;
  private blendFrom: Float32Array;
  private blendLeft = 0;
  private settled = 0;
  private settling = false;
  private heardQuiet = false;

  /** rest: unit vectors [D * 3] in which the stream settles and begins. */
  constructor(
    private readonly skeleton: Skeleton,
    fps: number,
    private readonly rest: Float32Array,
  ) {
    this.retargeter = new Retargeter(skeleton, fps);
    this.voice = new VoiceTracker(fps);
    this.anchor = anchorOf(skeleton);
    this.blendFrames = Math.max(rounded(BLEND_S * fps), 1);
    this.settleFrames = Math.max(rounded(SETTLE_S * fps), 1);
    this.shown = this.raw = this.blendFrom = rest;
  }

  /** Let the pose come to rest, and stay there until the voice begins anew. */
  settle(): void {
    this.settling = true;
    this.heardQuiet = false;
  }

  /**
   * Finish one pose [D * 3] of vectors of any length, in the skeleton's axes.
   *
   * A vector shorter than 0.3 or not finite keeps its last direction. `reset`:
   * this pose does not follow from the one before and is reached within 300 ms.
   */
  finish(directions: Float32Array, voice: number, reset: boolean): Posed {
    const state = this.voice.update(voice);
    this.raw = unitVectors(directions, this.raw);
    if (reset) {
      this.blendFrom = this.shown;
      this.blendLeft = this.blendFrames;
    }
    let pose = this.raw;
    if (this.blendLeft > 0) {
      pose = blend(this.blendFrom, pose, ease(1 - this.blendLeft / (this.blendFrames + 1)));
      this.blendLeft--;
    }
    pose = blend(pose, this.rest, ease(this.restWeight(state)));
    this.shown = pose;
    const { rotations, root } = this.retargeter.solve(pose);
    const positions = this.skeleton.positions(pose);
    positions.forEach((x, i) => {
      positions[i] = x * this.skeleton.axes[i % 3]! + this.anchor[i % 3]!;
    });
    return { rotations, root, positions, directions: pose, state };
  }

  /** How far the pose has settled, 0..1, in this frame. */
  private restWeight(state: VoiceState): number {
    const arrived = this.settled >= 1;
    this.heardQuiet ||= state !== "speaking";
    if (this.settling && state === "speaking" && (arrived || this.heardQuiet)) this.settling = false;
    const step = this.settling ? 1 / this.settleFrames : -1 / this.blendFrames;
    this.settled = clamp(this.settled + step, 0, 1);
    return this.settled;
  }
}

/** Unit vectors [D * 3] on the arc from `first` (0) to `second` (1). */
export function blend(first: Float32Array, second: Float32Array, weight: number): Float32Array {
  if (weight <= 0 || weight >= 1) return weight <= 0 ? first : second;
  const mixed = new Float32Array(first.length);
  for (let i = 0; i < first.length; i += 3) {
    let cosine = 0;
    for (let k = i; k < i + 3; k++) cosine += first[k]! * second[k]!;
    const angle = Math.acos(clamp(cosine, -1, 1));
    const arc = angle > 1e-3; // else a straight line is the arc
    const a = arc ? Math.sin((1 - weight) * angle) : 1 - weight;
    const b = arc ? Math.sin(weight * angle) : weight;
    for (let k = i; k < i + 3; k++) mixed[k] = a * first[k]! + b * second[k]!;
  }
  return unitVectors(mixed, weight < 0.5 ? first : second, 1e-3);
}

/** Vectors of norm 1; those shorter than `least` or not finite are `otherwise`. */
export function unitVectors(
  vectors: Float32Array,
  otherwise: Float32Array,
  least = CONFIDENT,
): Float32Array {
  const out = new Float32Array(vectors.length);
  for (let i = 0; i < vectors.length; i += 3) {
    const [x, y, z] = [vectors[i]!, vectors[i + 1]!, vectors[i + 2]!];
    const norm = Math.fround(Math.sqrt(x * x + y * y + z * z));
    const good = Number.isFinite(norm) && norm >= least;
    for (let k = 0; k < 3; k++) {
      out[i + k] = good ? vectors[i + k]! / norm : otherwise[i + k]!;
    }
  }
  return out;
}

/** The mean pose of a skeleton as unit vectors. */
export function unitRest(skeleton: Skeleton): Float32Array {
  const up = new Float32Array(skeleton.mean.length);
  for (let i = 1; i < up.length; i += 3) up[i] = skeleton.axes[1]!;
  return unitVectors(skeleton.mean, up, 1e-3);
}

/** The nearest whole number, halves to the even one, as Python rounds. */
function rounded(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** A weight that starts and ends at rest (smoothstep). */
function ease(weight: number): number {
  return weight * weight * (3 - 2 * weight);
}

/** Where the root joint stands, so that the pelvis has the rest height. */
function anchorOf(skeleton: Skeleton): Float32Array {
  const pelvis = skeleton.joints[skeleton.rootJoint] === "pelvis";
  const place = new Float32Array(3);
  for (let i = BONES.indexOf(pelvis ? "hips" : "upperChest"); i >= 0; i = PARENTS[i]!) {
    restOffset(BONES[i]!).forEach((x, axis) => (place[axis]! += x));
  }
  return place;
}
