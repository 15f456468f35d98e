// Torso, shoulders and head: from direction vectors to rotations
// (streamer/retarget_body.py). Vectors are unit and in VRM 1.0 axes.

import type { Layout } from "./layout";
import {
  between,
  cross,
  difference,
  IDENTITY,
  inverse,
  limited,
  multiply,
  type Quaternion,
  radians,
  rotate,
  share,
  sum,
  undo,
  unrotate,
  uprightFrame,
  type Vector,
} from "./rotation";

export type Vectors = readonly Vector[];

// What part of the lean (pelvis to upper spine) and of the remaining turn hips,
// spine and chest have reached; Python's file says why the lean passes 1.
const LEAN = [0.15, 1.2, 1.4] as const;
const TURN = [0, 0.3, 0.7] as const;

const MAX_LEAN = radians(45);
const SHOULDER_PART = 0.4;
const MAX_SHOULDER = radians(15);
const NECK_PART = 0.4;
const MAX_HEAD = radians(80);

/** Local rotations from hips to upper chest; `world` is the upper chest's. */
export interface Torso {
  hips: Quaternion;
  spine: Quaternion;
  chest: Quaternion;
  upperChest: Quaternion;
  world: Quaternion;
}

/** Leans and turns the spine: lean from the vectors upwards, turn from the shoulder line. */
export class TorsoSolver {
  private readonly rest: Quaternion;

  constructor(private readonly layout: Layout) {
    this.rest = inverse(this.frame(layout.rest));
  }

  solve(vectors: Vectors): Torso {
    const world = multiply(this.frame(vectors), this.rest);
    const { pelvis, rest } = this.layout;
    const lean =
      pelvis === null ? IDENTITY : limited(between(rest[pelvis]!, vectors[pelvis]!), MAX_LEAN);
    const turn = undo(lean, world);
    const part = (i: 0 | 1 | 2): Quaternion => multiply(share(lean, LEAN[i]), share(turn, TURN[i]));
    const [hips, spine, chest] = [part(0), part(1), part(2)];
    return {
      hips,
      spine: undo(hips, spine),
      chest: undo(spine, chest),
      upperChest: undo(chest, world),
      world,
    };
  }

  private frame(vectors: Vectors): Quaternion {
    const [left, right] = this.layout.arms;
    return uprightFrame(
      difference(vectors[left.shoulder]!, vectors[right.shoulder]!),
      vectors[this.layout.spine]!,
    );
  }
}

/** The local rotation of a clavicle, damped and within 15 degrees. */
export function solveShoulder(torso: Quaternion, direction: Vector, rest: Vector): Quaternion {
  const moved = between(rest, unrotate(torso, direction));
  return limited(share(moved, SHOULDER_PART), MAX_SHOULDER);
}

/** Turns neck and head with the face: all three axes. */
export class HeadSolver {
  private readonly rest: Quaternion;

  constructor(private readonly layout: Layout) {
    this.rest = inverse(this.frame(layout.rest));
  }

  /** Local rotations of neck and head. */
  solve(vectors: Vectors, torso: Quaternion): [Quaternion, Quaternion] {
    const world = multiply(this.frame(vectors), this.rest);
    const local = limited(undo(torso, world), MAX_HEAD);
    const neck = share(local, NECK_PART);
    return [neck, undo(neck, local)];
  }

  /** A frame that is fixed to the skull: X to its left, Y up. */
  private frame(vectors: Vectors): Quaternion {
    const face = this.layout.face.map((i) => vectors[i]!);
    if (face.length === 1) {
      // Nose and top of the head: their plane parts left from right.
      const nose = vectors[this.layout.nose]!;
      return uprightFrame(cross(face[0]!, nose), sum(nose, face[0]!));
    }
    const [rightEye, leftEye, rightEar, leftEar] = face as [Vector, Vector, Vector, Vector];
    const left = difference(sum(leftEye, leftEar), sum(rightEye, rightEar));
    return uprightFrame(left, cross(left, sum(rightEar, leftEar)));
  }
}

/** The offset of the hips that keeps the soles where they stand; height of the hips in metres. */
export function plantedRoot(hips: Quaternion, height: number): Vector {
  const [x, y, z] = rotate(hips, [0, height, 0]);
  return [x, y - height, z];
}
