// From direction vectors to the humanoid's rotations (streamer/retarget.py).

import {
  ArmSolver,
  type ArmState,
  freshArm,
  HandFrame,
  naturalPronation,
  palmFromKnuckles,
} from "./arm";
import { HeadSolver, plantedRoot, solveShoulder, TorsoSolver, type Vectors } from "./body";
import { type Finger, FingerSolver } from "./fingers";
import { BONES, restOffset } from "./humanoid";
import { type ArmLayout, type HandLayout, type Layout, layoutOf, SIDES } from "./layout";
import { multiply, type Quaternion, undo, unrotate, type Vector } from "./rotation";
import type { Skeleton } from "./skeleton";

// A vector shorter than this before normalising has no direction worth following.
const CONFIDENT = 0.3;

/** Rotations [B * 4] normalised local, root [3] offset of the hips. */
export interface BonePose {
  rotations: Float32Array;
  root: Float32Array;
}

/**
 * Turns the poses of one stream into rotations, one after the other.
 *
 * It remembers a little (arm rolls, the last good pose), so one stream needs one.
 */
export class Retargeter {
  private readonly layout: Layout;
  private readonly torso: TorsoSolver;
  private readonly head: HeadSolver;
  private readonly arms: readonly ArmChain[];
  private readonly hipHeight = restOffset("hips")[1];
  private directions: Vector[];
  private last: BonePose;

  /** fps: of the poses, for smoothing the roll of straight arms. */
  constructor(
    private readonly skeleton: Skeleton,
    fps = 15,
  ) {
    this.layout = layoutOf(skeleton);
    this.torso = new TorsoSolver(this.layout);
    this.head = new HeadSolver(this.layout);
    this.arms = SIDES.map((_, i) => new ArmChain(this.layout, i, fps));
    this.directions = [...this.layout.rest];
    const rotations = new Float32Array(BONES.length * 4);
    for (let i = 3; i < rotations.length; i += 4) rotations[i] = 1;
    this.last = { rotations, root: new Float32Array(3) };
  }

  /**
   * The pose for unit vectors [D * 3] in the skeleton's own axes.
   *
   * A vector of norm below 0.3 keeps its last direction; a pose that is not
   * finite is the last good pose again.
   */
  solve(directions: Float32Array): BonePose {
    if (directions.length !== this.directions.length * 3) {
      throw new RangeError(`${directions.length} numbers, the skeleton has ${this.directions.length} vectors`);
    }
    if (!directions.every(Number.isFinite)) return this.last;
    const [sx, sy, sz] = this.skeleton.axes as [number, number, number];
    this.directions = this.directions.map((last, i): Vector => {
      const x = directions[i * 3]! * sx;
      const y = directions[i * 3 + 1]! * sy;
      const z = directions[i * 3 + 2]! * sz;
      const size = Math.sqrt(x * x + y * y + z * z);
      return size > CONFIDENT ? [x / size, y / size, z / size] : last;
    });
    this.last = this.pose(this.directions);
    return this.last;
  }

  private pose(vectors: Vectors): BonePose {
    const torso = this.torso.solve(vectors);
    const [neck, head] = this.head.solve(vectors, torso.world);
    const rows: Quaternion[] = [torso.hips, torso.spine, torso.chest, torso.upperChest, neck, head];
    for (const arm of this.arms) rows.push(...arm.solve(vectors, torso.world));
    const rotations = new Float32Array(BONES.length * 4);
    const before = this.last.rotations;
    rows.forEach((q, i) => {
      // Signs continue those of the pose before.
      const along = q.reduce((sum, x, k) => sum + x * before[i * 4 + k]!, 0);
      q.forEach((x, k) => (rotations[i * 4 + k] = along < 0 ? -x : x));
    });
    return { rotations, root: Float32Array.from(plantedRoot(torso.hips, this.hipHeight)) };
  }
}

/** One arm from the clavicle to the fingertips, in the order of `BONES`. */
class ArmChain {
  private readonly state: ArmState = freshArm();
  private readonly sign: number;
  private readonly at: ArmLayout;
  private readonly rest: Vectors;
  private readonly solver: ArmSolver;
  private readonly fingers: FingerSolver;
  private readonly hand: HandFrame | null;

  constructor(layout: Layout, side: number, fps: number) {
    this.sign = side === 0 ? 1 : -1;
    this.at = layout.arms[side]!;
    this.rest = layout.rest;
    this.solver = new ArmSolver(this.sign, fps);
    this.fingers = new FingerSolver(this.sign, restOffset(`${SIDES[side]}ThumbProximal`));
    const { hand } = this.at;
    this.hand = hand && new HandFrame(layout.rest[hand.knuckles[1]]!, this.palm(hand, layout.rest));
  }

  /** Local rotations of shoulder, arm and 15 finger bones. */
  solve(vectors: Vectors, torso: Quaternion): Quaternion[] {
    const { at } = this;
    const shoulder = solveShoulder(torso, vectors[at.shoulder]!, this.rest[at.shoulder]!);
    const base = multiply(torso, shoulder);
    const forearm = vectors[at.lower]!;
    const upper = unrotate(base, vectors[at.upper]!);
    const lower = unrotate(base, forearm);
    let arm;
    let digits: Finger[];
    if (at.hand && this.hand) {
      const wanted = this.hand.solve(vectors[at.hand.knuckles[1]]!, this.palm(at.hand, vectors));
      arm = this.solver.solve(upper, lower, undo(base, wanted), this.state);
      digits = this.digits(at.hand, vectors, multiply(base, arm.handFrame));
    } else {
      arm = this.solver.solve(upper, lower, null, this.state, naturalPronation(forearm));
      digits = this.fingers.relaxed((1 + forearm[1]) / 2);
    }
    const [index, middle, little, ring, thumb] = digits;
    return [
      shoulder,
      arm.upper,
      arm.lower,
      arm.hand,
      ...thumb!,
      ...index!,
      ...middle!,
      ...ring!,
      ...little!,
    ];
  }

  private digits(at: HandLayout, vectors: Vectors, hand: Quaternion): Finger[] {
    const seen = (i: number): Vector => unrotate(hand, vectors[i]!);
    const four = at.fingers.map(([a, b]) => this.fingers.finger(seen(a), seen(b)));
    return [...four, this.fingers.thumb(seen(at.thumb[0]), seen(at.thumb[1]))];
  }

  private palm(at: HandLayout, vectors: Vectors): Vector {
    if (at.palm !== null) return vectors[at.palm]!;
    const [index, middle, pinky] = at.knuckles;
    return palmFromKnuckles(vectors[middle]!, vectors[index]!, vectors[pinky]!, this.sign);
  }
}
