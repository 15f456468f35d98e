// The VRM 1.0 humanoid as the engine uses it (streamer/humanoid.py): 44 bones.

import type { Vector } from "./rotation";

const FINGER_ROOTS: readonly (readonly [string, Vector, readonly [number, number]])[] = [
  ["Thumb", [0.025, -0.008, 0.022], [0.043, 0.031]],
  ["Index", [0.088, 0, 0.024], [0.041, 0.025]],
  ["Middle", [0.09, 0.002, 0.003], [0.045, 0.028]],
  ["Ring", [0.085, 0, -0.017], [0.042, 0.027]],
  ["Little", [0.078, -0.004, -0.035], [0.033, 0.021]],
];

interface Row {
  name: string;
  parent: string;
  offset: Vector;
}

function tree(): Row[] {
  const rows: Row[] = [
    { name: "hips", parent: "", offset: [0, 0.95, 0] },
    { name: "spine", parent: "hips", offset: [0, 0.09, 0] },
    { name: "chest", parent: "spine", offset: [0, 0.13, 0] },
    { name: "upperChest", parent: "chest", offset: [0, 0.12, 0] },
    { name: "neck", parent: "upperChest", offset: [0, 0.14, 0] },
    { name: "head", parent: "neck", offset: [0, 0.09, 0.01] },
  ];
  for (const [side, sign] of [["left", 1], ["right", -1]] as const) {
    const add = (name: string, parent: string, x: number, y: number, z: number): void => {
      rows.push({ name: side + name, parent, offset: [sign * x, y, z] });
    };
    add("Shoulder", "upperChest", 0.025, 0.105, 0);
    add("UpperArm", `${side}Shoulder`, 0.125, 0, 0);
    add("LowerArm", `${side}UpperArm`, 0.27, 0, 0);
    add("Hand", `${side}LowerArm`, 0.25, 0, 0);
    for (const [finger, [x, y, z], phalanges] of FINGER_ROOTS) {
      const thumb = finger === "Thumb"; // it leaves at 45 degrees
      const [first, second] = thumb ? ["Metacarpal", "Proximal"] : ["Proximal", "Intermediate"];
      const steps = phalanges.map((length) => length * (thumb ? Math.SQRT1_2 : 1));
      add(finger + first, `${side}Hand`, x, y, z);
      add(finger + second, `${side}${finger}${first}`, steps[0]!, 0, thumb ? steps[0]! : 0);
      add(`${finger}Distal`, `${side}${finger}${second}`, steps[1]!, 0, thumb ? steps[1]! : 0);
    }
  }
  return rows;
}

const ROWS = tree();

/** The driven bones, parents before children. */
export const BONES: readonly string[] = ROWS.map((row) => row.name);

/** Index of each bone's parent in `BONES`; -1 for the hips. */
export const PARENTS: readonly number[] = ROWS.map((row) => BONES.indexOf(row.parent));

/** Offset of a bone from its parent in the T-pose, metres (of float32, as on the wire). */
export function restOffset(bone: string): Vector {
  const row = ROWS.find(({ name }) => name === bone);
  if (!row) throw new RangeError(`no humanoid bone ${bone}`);
  const [x, y, z] = row.offset;
  return [Math.fround(x), Math.fround(y), Math.fround(z)];
}
