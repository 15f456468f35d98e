// Arms: directions of upper arm, forearm and hand to three local rotations
// (streamer/retarget_arm.py). Everything is relative to the shoulder.

import {
  aboutX,
  between,
  clamp,
  cross,
  difference,
  dot,
  frame,
  IDENTITY,
  inverse,
  length,
  limited,
  multiply,
  type Quaternion,
  radians,
  twistAboutX,
  undo,
  unrotate,
  type Vector,
  wrapped,
} from "./rotation";

// The elbow's plane tells the roll of the upper arm from 5 degrees of bend on,
// and alone from 20.
const STRAIGHT = radians(5);
const BENT = radians(20);
const NATURAL_ROLL = radians(-30);
// Share of the way to the measured roll that is taken in one frame at 15 fps,
// straight and bent, and the most a roll moves in it.
const FOLLOW_STRAIGHT = 0.3;
const FOLLOW_BENT = 0.85;
const MAX_ROLL_STEP = radians(60);
const FRAME_S = 1 / 15;

const MAX_FOREARM = radians(95);
const REWRAP = radians(240);
const FOREARM_PART = 0.5;
const MAX_WRIST = radians(80);

/** What an arm remembers: upper arm roll, measured and shown forearm roll. */
export interface ArmState {
  roll: number;
  measured: number;
  shown: number;
  started: boolean;
}

export function freshArm(): ArmState {
  return { roll: 0, measured: 0, shown: 0, started: false };
}

/** Local rotations of upper arm, forearm and hand; the hand's relative to the shoulder. */
export interface Arm {
  upper: Quaternion;
  lower: Quaternion;
  hand: Quaternion;
  handFrame: Quaternion;
}

/** Solves one arm. sign: +1 left, -1 right. fps: of the poses, for smoothing. */
export class ArmSolver {
  private readonly rest: Vector;
  private readonly hinge: number;
  private readonly follow: readonly [number, number];
  private readonly step: number;

  constructor(sign: number, fps: number) {
    this.rest = [sign, 0, 0];
    this.hinge = -sign;
    const frames = 1 / (fps * FRAME_S);
    this.follow = [1 - (1 - FOLLOW_STRAIGHT) ** frames, 1 - (1 - FOLLOW_BENT) ** frames];
    this.step = MAX_ROLL_STEP * frames;
  }

  /**
   * The arm; updates its state. hand: the wanted rotation of the hand; null lays
   * it along the forearm, rolled by `pronation` radians.
   */
  solve(
    upper: Vector,
    lower: Vector,
    hand: Quaternion | null,
    state: ArmState,
    pronation = 0,
  ): Arm {
    const swing = between(this.rest, upper);
    const [bent, plane] = this.elbowPlane(swing, upper, lower);
    const target = this.roll(swing, lower, hand, bent, plane);
    if (state.started) {
      const follow = this.follow[0] + (this.follow[1] - this.follow[0]) * bent;
      const change = this.stepped(follow * wrapped(target - state.roll));
      state.roll = wrapped(state.roll + change, NATURAL_ROLL);
    } else {
      state.roll = target;
    }
    const arm = multiply(swing, aboutX(state.roll));
    const elbow = between(this.rest, unrotate(arm, lower));
    const forearm = multiply(arm, elbow);
    let roll: number;
    let wrist = IDENTITY;
    if (hand === null) {
      roll = this.limitedRoll(pronation, state);
    } else {
      const local = undo(forearm, hand);
      const measured = twistAboutX(local);
      wrist = limited(multiply(local, aboutX(-measured)), MAX_WRIST);
      roll = this.limitedRoll(measured, state);
    }
    state.started = true;
    const lowerRoll = aboutX(FOREARM_PART * roll);
    const handLocal = multiply(wrist, aboutX(roll));
    return {
      upper: arm,
      lower: multiply(elbow, lowerRoll),
      hand: undo(lowerRoll, handLocal),
      handFrame: multiply(forearm, handLocal),
    };
  }

  /** How bent the elbow is, 0 to 1, and the roll that its plane asks for. */
  private elbowPlane(swing: Quaternion, upper: Vector, lower: Vector): [number, number] {
    const normal = cross(upper, lower);
    const bend = Math.atan2(length(normal), dot(upper, lower));
    const x = clamp((bend - STRAIGHT) / (BENT - STRAIGHT), 0, 1);
    if (x === 0) return [0, 0];
    const [, y, z] = unrotate(swing, normal);
    const roll = Math.atan2(this.hinge * z, this.hinge * y);
    return [x * x * (3 - 2 * x), wrapped(roll, NATURAL_ROLL)];
  }

  /** The upper arm's roll; a straight arm shares the hand's with the forearm. */
  private roll(
    swing: Quaternion,
    lower: Vector,
    hand: Quaternion | null,
    bent: number,
    plane: number,
  ): number {
    if (bent === 1) return plane;
    let straight = 0;
    if (hand !== null) {
      const elbow = between(this.rest, unrotate(swing, lower));
      const whole = twistAboutX(undo(multiply(swing, elbow), hand));
      straight = 0.5 * wrapped(whole, NATURAL_ROLL);
    }
    return bent * plane + (1 - bent) * straight;
  }

  /** The forearm's roll within its limits, never jumping between them. */
  private limitedRoll(measured: number, state: ArmState): number {
    if (!state.started) {
      state.measured = measured;
      state.shown = clamp(measured, -MAX_FOREARM, MAX_FOREARM);
      return state.shown;
    }
    state.measured += wrapped(measured - state.measured);
    if (Math.abs(state.measured) > REWRAP) {
      state.measured -= state.measured > 0 ? 2 * Math.PI : -2 * Math.PI;
    }
    const target = clamp(state.measured, -MAX_FOREARM, MAX_FOREARM);
    state.shown += this.stepped(target - state.shown);
    return state.shown;
  }

  private stepped(change: number): number {
    return clamp(change, -this.step, this.step);
  }
}

/** Turns fingers' direction and palm normal into a hand's rotation. */
export class HandFrame {
  private readonly rest: Quaternion;

  /** fingers, palm: the two vectors in the T-pose. */
  constructor(fingers: Vector, palm: Vector) {
    this.rest = inverse(frame(fingers, palm));
  }

  solve(fingers: Vector, palm: Vector): Quaternion {
    return multiply(frame(fingers, palm), this.rest);
  }
}

/** The outward normal of a palm from its wrist-to-knuckle vectors; sign: +1 left, -1 right. */
export function palmFromKnuckles(middle: Vector, index: Vector, pinky: Vector, sign: number): Vector {
  const [x, y, z] = cross(middle, difference(index, pinky));
  return [sign * x, sign * y, sign * z];
}

/** The roll in radians of a hand of which nothing is known; forearm: unit vector in the world. */
export function naturalPronation(forearm: Vector): number {
  return radians(10 + 25 * (1 - forearm[1] ** 2));
}
