// Where a skeleton keeps what retargeting needs, and its vectors at rest
// (streamer/retarget_layout.py).

import { restOffset } from "./humanoid";
import { type Vector, unit } from "./rotation";
import type { Skeleton } from "./skeleton";

export const SIDES = ["left", "right"] as const;
export const FINGERS = ["index", "middle", "pinky", "ring"] as const;

const FACE = [
  ["nose", "right_eye"],
  ["nose", "left_eye"],
  ["right_eye", "right_ear"],
  ["left_eye", "left_ear"],
] as const;

/** By the child joint: a person looking straight ahead, shoulders down. */
const ANATOMY: Readonly<Record<string, Vector>> = {
  left_shoulder: [0.95, -0.3, 0],
  right_shoulder: [-0.95, -0.3, 0],
  nose: [0, 0.68, 0.73],
  head: [0, 0.9, -0.43],
  left_eye: [0.5, 0.65, -0.57],
  right_eye: [-0.5, 0.65, -0.57],
  left_ear: [0.4, -0.2, -0.9],
  right_ear: [-0.4, -0.2, -0.9],
};

/** Vector indices of one hand; each finger has a first and a second phalanx. */
export interface HandLayout {
  /** Wrist to first joint of index, middle, pinky and ring. */
  knuckles: readonly [number, number, number, number];
  fingers: readonly (readonly [number, number])[];
  thumb: readonly [number, number];
  /** The palm's normal; null where the knuckles must tell. */
  palm: number | null;
}

/** Vector indices of one arm; `hand` is null where the skeleton has no fingers. */
export interface ArmLayout {
  shoulder: number;
  upper: number;
  lower: number;
  hand: HandLayout | null;
}

/** Vector indices of a skeleton, and its T-pose in VRM 1.0 axes. */
export interface Layout {
  pelvis: number | null;
  spine: number;
  nose: number;
  face: readonly number[];
  arms: readonly [ArmLayout, ArmLayout];
  rest: readonly Vector[];
}

/** Find the vectors of a skeleton; throws where some are missing. */
export function layoutOf(skeleton: Skeleton): Layout {
  const joints = new Set(skeleton.joints);
  const spine = joints.has("spine3") ? "spine3" : "spine";
  const vector = (parent: string, child: string): number => {
    const index = skeleton.index(parent, child);
    if (index < 0) {
      throw new RangeError(
        `skeleton ${skeleton.name}: no vector ${parent}>${child}, which rotations are computed from`,
      );
    }
    return index;
  };
  const hand = (side: string): HandLayout => {
    const phalanges = (finger: string): [number, number] => [
      vector(`${side}_${finger}1`, `${side}_${finger}2`),
      vector(`${side}_${finger}2`, `${side}_${finger}3`),
    ];
    const knuckle = (finger: string): number => vector(`${side}_wrist`, `${side}_${finger}1`);
    const palm = skeleton.normals.includes(`${side}_palm`);
    return {
      knuckles: [knuckle("index"), knuckle("middle"), knuckle("pinky"), knuckle("ring")],
      fingers: FINGERS.map(phalanges),
      thumb: phalanges("thumb"),
      palm: palm ? skeleton.vectorNames.indexOf(`${side}_palm`) : null,
    };
  };
  const arm = (side: string): ArmLayout => ({
    shoulder: vector("neck", `${side}_shoulder`),
    upper: vector(`${side}_shoulder`, `${side}_elbow`),
    lower: vector(`${side}_elbow`, `${side}_wrist`),
    hand: joints.has(`${side}_middle1`) ? hand(side) : null,
  });
  return {
    pelvis: joints.has("pelvis") ? vector("pelvis", spine) : null,
    spine: vector(spine, "neck"),
    nose: vector("neck", "nose"),
    face: joints.has("left_ear")
      ? FACE.map(([a, b]) => vector(a, b))
      : [vector("nose", "head")],
    arms: [arm("left"), arm("right")],
    rest: restVectors(skeleton),
  };
}

/** The humanoid bone that starts at a joint of a limb; null elsewhere. */
function limbBone(joint: string): string | null {
  const [, side, part] = /^(left|right)_(.+)$/.exec(joint) ?? [];
  if (side === undefined || part === undefined) return null;
  const plain: Record<string, string> = { shoulder: "UpperArm", elbow: "LowerArm", wrist: "Hand" };
  if (plain[part]) return side + plain[part];
  const [, finger, number] = /^(index|middle|pinky|ring|thumb)([123])$/.exec(part) ?? [];
  if (finger === undefined) return null;
  const names =
    finger === "thumb" ? ["Metacarpal", "Proximal", "Distal"] : ["Proximal", "Intermediate", "Distal"];
  const name = finger === "pinky" ? "Little" : finger[0]!.toUpperCase() + finger.slice(1);
  return side + name + names[Number(number) - 1]!;
}

/**
 * The T-pose vectors in VRM 1.0 axes. Limbs and fingers rest as the humanoid's
 * do; torso, shoulders and face where the skeleton's mean has them.
 */
function restVectors(skeleton: Skeleton): Vector[] {
  const rest = symmetricMean(skeleton);
  skeleton.bones.forEach(([a, b], i) => {
    const bone = limbBone(skeleton.joints[b]!);
    if (/^(left|right)_/.test(skeleton.joints[a]!) && bone) rest[i] = restOffset(bone);
  });
  skeleton.normals.forEach((name, i) => {
    if (name.endsWith("_palm")) rest[skeleton.bones.length + i] = [0, -1, 0];
  });
  return rest.map(unit);
}

/** The mean directions in VRM 1.0 axes, averaged with their mirror image. */
function symmetricMean(skeleton: Skeleton): Vector[] {
  const [sx, sy, sz] = skeleton.axes as [number, number, number];
  const mean = (i: number): Vector => {
    const [x, y, z] = skeleton.mean.subarray(i * 3, i * 3 + 3) as unknown as Vector;
    return [sx * x, sy * y, sz * z];
  };
  return skeleton.vectorNames.map((name, i) => {
    const mirrored = name.replace(/left|right/g, (side) => (side === "left" ? "right" : "left"));
    const other = skeleton.vectorNames.indexOf(mirrored);
    const [x, y, z] = mean(i);
    let out: Vector = [x, y, z];
    if (other >= 0) {
      const [ox, oy, oz] = mean(other);
      out = [(x - ox) / 2, (y + oy) / 2, (z + oz) / 2];
    }
    if (Math.hypot(...out) >= 0.1) return out;
    return ANATOMY[name.split(">")[1] ?? ""] ?? [0, 1, 0]; // a skeleton without means
  });
}
