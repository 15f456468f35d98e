// How the avatar stands while nothing is streamed: arms down, hands relaxed.

import { newPose, type Pose } from "./timeline";

/** Rotations of the left side (XYZ Euler angles, radians, VRM 1.0 axes). */
const LEFT: Record<string, [number, number, number]> = {
  Shoulder: [0, 0, -0.06],
  UpperArm: [0.12, -0.1, -1.2],
  LowerArm: [-0.35, -0.42, -0.06],
  Hand: [-0.1, 0, -0.08],
  ThumbMetacarpal: [0.15, 0.1, -0.1],
  ThumbProximal: [0, 0.25, 0],
  ThumbDistal: [0, 0.3, 0],
};
const CENTRE: Record<string, [number, number, number]> = {
  spine: [0.015, 0, 0],
  neck: [0.03, 0, 0],
};
const CURL: Record<string, number> = { Index: 0.22, Middle: 0.3, Ring: 0.36, Little: 0.4 };

/** The rest pose for a stream's bones; bones it does not know stay as they are. */
export function restPose(bones: readonly string[]): Pose {
  const pose = newPose(bones.length);
  bones.forEach((bone, i) => pose.rotations.set(turned(...angles(bone)), i * 4));
  return pose;
}

/** The quaternion of turns about x, then y, then z of the moving axes. */
function turned(x: number, y: number, z: number): [number, number, number, number] {
  const [cx, cy, cz] = [Math.cos(x / 2), Math.cos(y / 2), Math.cos(z / 2)];
  const [sx, sy, sz] = [Math.sin(x / 2), Math.sin(y / 2), Math.sin(z / 2)];
  return [
    sx * cy * cz + cx * sy * sz,
    cx * sy * cz - sx * cy * sz,
    cx * cy * sz + sx * sy * cz,
    cx * cy * cz - sx * sy * sz,
  ];
}

function angles(bone: string): [number, number, number] {
  const side = bone.startsWith("left") ? 1 : bone.startsWith("right") ? -1 : 0;
  if (side === 0) return CENTRE[bone] ?? [0, 0, 0];
  const part = bone.slice(side > 0 ? 4 : 5);
  const finger = /^(Index|Middle|Ring|Little)/.exec(part)?.[1];
  const [x, y, z] = finger ? [0, 0, -(CURL[finger] ?? 0)] : (LEFT[part] ?? [0, 0, 0]);
  return [x, side * y, side * z]; // mirrored in x = 0
}
