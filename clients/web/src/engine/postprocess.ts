// From what a step puts out to poses fit to be seen (streamer/postprocess.py).

import type { VoiceState } from "../protocol";
import { BONES, PARENTS, restOffset } from "./humanoid";
import { Retargeter } from "./retargeter";
import { Settling } from "./settling";
import type { Skeleton } from "./skeleton";
import { blend, ease, unitVectors } from "./vectors";

const BLEND_S = 0.3; // from the last pose to the new stream's after a reset
const SILENT_S = 0.5; // an interrupt lasts at least, if the voice simply goes on
const IDLE_S = 2; // of quiet turn listening into idle
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
  private readonly silentFrames: number;
  private before: Float32Array;
  private shown: Float32Array;
  private raw: Float32Array;
  private blendFrom: Float32Array;
  private blendLeft = 0;
  private settling: Settling | null = null;
  private settledFrames = 0;
  private settled: Float32Array;
  private leaveLeft = 0;
  private heardQuiet = false;

  /** rest: unit vectors [D * 3] in which the stream settles and begins. */
  constructor(
    private readonly skeleton: Skeleton,
    private readonly fps: number,
    private readonly rest: Float32Array,
  ) {
    this.retargeter = new Retargeter(skeleton, fps);
    this.voice = new VoiceTracker(fps);
    this.anchor = anchorOf(skeleton);
    this.blendFrames = Math.max(rounded(BLEND_S * fps), 1);
    this.silentFrames = Math.max(rounded(SILENT_S * fps), 1);
    this.before = this.shown = this.raw = this.blendFrom = this.settled = rest;
  }

  /** Let the pose stop within 200 ms, then ease to rest, until the voice begins anew. */
  settle(): void {
    if (!this.settling) {
      this.settling = new Settling(this.before, this.shown, this.rest, this.skeleton, this.fps);
      this.settledFrames = this.leaveLeft = 0;
    }
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
    pose = this.interrupted(pose, state);
    this.before = this.shown;
    this.shown = pose;
    const { rotations, root } = this.retargeter.solve(pose);
    const positions = this.skeleton.positions(pose);
    positions.forEach((x, i) => {
      positions[i] = x * this.skeleton.axes[i % 3]! + this.anchor[i % 3]!;
    });
    return { rotations, root, positions, directions: pose, state };
  }

  /** The pose of an interrupt that lasts or has just ended, else the stream's. */
  private interrupted(pose: Float32Array, state: VoiceState): Float32Array {
    this.heardQuiet ||= state !== "speaking";
    const enough = this.heardQuiet || this.settledFrames >= this.silentFrames;
    if (this.settling && state === "speaking" && enough) {
      this.settling = null;
      this.leaveLeft = this.blendFrames;
    }
    if (this.settling) {
      this.settledFrames++;
      this.settled = this.settling.next();
      return this.settled;
    }
    if (this.leaveLeft > 0) {
      const done = 1 - this.leaveLeft / (this.blendFrames + 1);
      this.leaveLeft--;
      return blend(this.settled, pose, ease(done));
    }
    return pose;
  }
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

/** Where the root joint stands, so that the pelvis has the rest height. */
function anchorOf(skeleton: Skeleton): Float32Array {
  const pelvis = skeleton.joints[skeleton.rootJoint] === "pelvis";
  const place = new Float32Array(3);
  for (let i = BONES.indexOf(pelvis ? "hips" : "upperChest"); i >= 0; i = PARENTS[i]!) {
    restOffset(BONES[i]!).forEach((x, axis) => (place[axis]! += x));
  }
  return place;
}
