// Unit vectors: kept at norm 1, blended along arcs, carried on past them (streamer/vectors.py).

import { clamp } from "./rotation";

const CONFIDENT = 0.3;
const JUMP = 1.2; // radians between two poses that no arm goes

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

/**
 * Unit vectors [D * 3] on the arc from `before` through `shown`, beyond it.
 *
 * share: how much farther, 1 for as far again. Vectors that jumped stay.
 */
export function onward(before: Float32Array, shown: Float32Array, share: number): Float32Array {
  const moved = new Float32Array(shown.length);
  for (let i = 0; i < shown.length; i += 3) {
    let cosine = 0;
    for (let k = i; k < i + 3; k++) cosine += before[k]! * shown[k]!;
    const across = [0, 1, 2].map((k) => shown[i + k]! - cosine * before[i + k]!);
    const sine = Math.hypot(...across);
    const angle = Math.atan2(sine, cosine);
    const turn = angle * share;
    for (let k = 0; k < 3; k++) {
      const axis = across[k]! / Math.max(sine, 1e-6);
      const along = axis * cosine - before[i + k]! * sine; // the direction of movement at `shown`
      moved[i + k] = angle < JUMP ? Math.cos(turn) * shown[i + k]! + Math.sin(turn) * along : shown[i + k]!;
    }
  }
  return unitVectors(moved, shown, 1e-3);
}

/** A weight that starts and ends at rest (smoothstep). */
export function ease(weight: number): number {
  return weight * weight * (3 - 2 * weight);
}
