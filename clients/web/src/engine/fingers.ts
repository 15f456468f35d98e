// Fingers: phalanges as hinges within human limits (streamer/retarget_fingers.py).
// Vectors are relative to the hand.

import {
  about,
  between,
  clamp,
  limited,
  multiply,
  type Quaternion,
  radians,
  rotate,
  unit,
  unrotate,
  type Vector,
  wrapped,
} from "./rotation";

type Limits = readonly [number, number];

const FLEXION: Limits = [radians(-20), radians(90)];
const SPREAD = radians(20);
const MIDDLE_FLEXION: Limits = [0, radians(110)];
const DISTAL_PART = 2 / 3;
const THUMB_CONE = radians(55);
const THUMB_CENTRE: Vector = [0.8, -0.28, 0.53];
const THUMB_FLEXION: Limits = [0, radians(60)];
// Flexion in degrees of relaxed fingers (index, middle, little, ring).
const RELAXED: readonly Limits[] = [[16, 22], [22, 28], [30, 34], [26, 32]];
const RELAXED_THUMB: Vector = [10, 12, 10];
const EASY = radians(20);

export type Finger = readonly [Quaternion, Quaternion, Quaternion];

/** Solves the digits of one hand. sign: +1 left, -1 right. */
export class FingerSolver {
  private readonly flex: Vector;
  private readonly spread: Vector;
  private readonly thumbRest: Vector;
  private readonly thumbCentre: Vector;
  private readonly thumbFlex: Vector;

  /** thumb: the thumb's metacarpal direction in the T-pose. */
  constructor(
    private readonly sign: number,
    thumb: Vector,
  ) {
    this.flex = [0, 0, -sign];
    this.spread = [0, -sign, 0];
    this.thumbRest = unit(thumb);
    this.thumbCentre = unit([sign * THUMB_CENTRE[0], THUMB_CENTRE[1], THUMB_CENTRE[2]]);
    this.thumbFlex = unit([0.2, 0.96 * sign, -0.2 * sign]);
  }

  /** One finger from its two known phalanges. */
  finger(first: Vector, second: Vector): Finger {
    const [flexion, spread] = this.angles(first);
    const knuckle = multiply(
      about(this.flex, folded(flexion, FLEXION)),
      about(this.spread, clamp(spread, -SPREAD, SPREAD)),
    );
    const bend = folded(this.angles(unrotate(knuckle, second))[0], MIDDLE_FLEXION);
    return [knuckle, about(this.flex, bend), about(this.flex, DISTAL_PART * bend)];
  }

  /** The thumb from its two known phalanges. */
  thumb(first: Vector, second: Vector): Finger {
    const free = between(this.thumbRest, first);
    const bend = folded(this.thumbBend(unrotate(free, second)), THUMB_FLEXION);
    const cone = limited(between(this.thumbCentre, first), THUMB_CONE);
    return [
      between(this.thumbRest, rotate(cone, this.thumbCentre)),
      about(this.thumbFlex, bend),
      about(this.thumbFlex, DISTAL_PART * bend),
    ];
  }

  /** Index, middle, little, ring and thumb at ease; openness 0 to 1. */
  relaxed(openness: number): Finger[] {
    const scale = radians(1.25 - 0.6 * openness);
    const four = RELAXED.map(([first, second]): Finger => [
      about(this.flex, scale * first),
      about(this.flex, scale * second),
      about(this.flex, DISTAL_PART * scale * second),
    ]);
    const [a, b, c] = RELAXED_THUMB.map((angle) => about(this.thumbFlex, scale * angle));
    return [...four, [a!, b!, c!]];
  }

  /** Flexion and spread of a direction; one that points sideways has no flexion and relaxes. */
  private angles(v: Vector): [number, number] {
    const along = this.sign * v[0];
    const down = -v[1];
    const sure = clamp((Math.hypot(along, down) - 0.2) / 0.4, 0, 1);
    const flexion = sure > 0 ? sure * Math.atan2(down, along) : 0;
    return [flexion + (1 - sure) * EASY, Math.asin(clamp(v[2], -1, 1))];
  }

  /** By how much a direction is bent about the thumb's hinge. */
  private thumbBend(v: Vector): number {
    const [ax, ay, az] = this.thumbFlex;
    const [rx, ry, rz] = this.thumbRest;
    const along = v[0] * rx + v[1] * ry + v[2] * rz;
    const side =
      ax * (ry * v[2] - rz * v[1]) + ay * (rz * v[0] - rx * v[2]) + az * (rx * v[1] - ry * v[0]);
    return Math.atan2(side, along);
  }
}

/** An angle within limits, without a jump anywhere round the circle. */
function folded(angle: number, [low, high]: Limits): number {
  const middle = (low + high) / 2;
  const half = (high - low) / 2;
  const away = wrapped(angle - middle);
  const beyond = Math.max(Math.abs(away) - (Math.PI - half), 0);
  const size = Math.min(Math.abs(away), half) - beyond;
  // As copysign does: by the sign of `away` alone, -0 included.
  const negative = away < 0 || Object.is(away, -0);
  return middle + (negative ? -Math.abs(size) : Math.abs(size));
}
