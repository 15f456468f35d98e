// Quaternion mathematics, xyzw (streamer/rotation.py). Every quaternion has norm 1.

export type Vector = readonly [number, number, number];
export type Quaternion = readonly [number, number, number, number];

export const IDENTITY: Quaternion = [0, 0, 0, 1];

const PARALLEL = 1e-6;
const { abs, acos, atan2, cos, max, min, PI, sin, sqrt } = Math;

/** The rotation that turns by b first, then by a. */
export function multiply(a: Quaternion, b: Quaternion): Quaternion {
  const [ax, ay, az, aw] = a;
  const [bx, by, bz, bw] = b;
  return [
    aw * bx + ax * bw + ay * bz - az * by,
    aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
}

/** inverse(a) * b: rotation b seen from frame a. */
export function undo(a: Quaternion, b: Quaternion): Quaternion {
  return multiply(inverse(a), b);
}

export function inverse(q: Quaternion): Quaternion {
  return [-q[0], -q[1], -q[2], q[3]];
}

/** Vector v turned by q. */
export function rotate(q: Quaternion, v: Vector): Vector {
  const [x, y, z, w] = q;
  const [vx, vy, vz] = v;
  const tx = 2 * (y * vz - z * vy);
  const ty = 2 * (z * vx - x * vz);
  const tz = 2 * (x * vy - y * vx);
  return [
    vx + w * tx + y * tz - z * ty,
    vy + w * ty + z * tx - x * tz,
    vz + w * tz + x * ty - y * tx,
  ];
}

/** Vector v seen from frame q. */
export function unrotate(q: Quaternion, v: Vector): Vector {
  return rotate(inverse(q), v);
}

export function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

export function sum(a: Vector, b: Vector): Vector {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
}

export function difference(a: Vector, b: Vector): Vector {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

/** v scaled to length 1; v must not be zero. */
export function unit(v: Vector): Vector {
  const scale = 1 / length(v);
  return [v[0] * scale, v[1] * scale, v[2] * scale];
}

export function length(v: Vector): number {
  return sqrt(dot(v, v));
}

/** The rotation by an angle in radians about a unit axis. */
export function about(axis: Vector, angle: number): Quaternion {
  const s = sin(angle / 2);
  return [axis[0] * s, axis[1] * s, axis[2] * s, cos(angle / 2)];
}

/** The rotation by an angle in radians about +X. */
export function aboutX(angle: number): Quaternion {
  return [sin(angle / 2), 0, 0, cos(angle / 2)];
}

/** The shortest rotation from unit vector a to unit vector b. */
export function between(a: Vector, b: Vector): Quaternion {
  const w = 1 + dot(a, b);
  if (w < 1e-4) return [...unit(orthogonal(a)), 0];
  const [x, y, z] = cross(a, b);
  const scale = 1 / sqrt(x * x + y * y + z * z + w * w);
  return [x * scale, y * scale, z * scale, w * scale];
}

/** The rotation whose X axis is x and whose Y axis is as near to y as may be. */
export function frame(x: Vector, y: Vector): Quaternion {
  x = unit(x);
  let z = cross(x, y);
  if (dot(z, z) < PARALLEL * dot(y, y)) z = orthogonal(x);
  z = unit(z);
  return fromColumns(x, cross(z, x), z);
}

/** The rotation whose Y axis is y and whose X axis is as near to x as may be. */
export function uprightFrame(x: Vector, y: Vector): Quaternion {
  y = unit(y);
  let z = cross(x, y);
  if (dot(z, z) < PARALLEL * dot(x, x)) z = orthogonal(y);
  z = unit(z);
  return fromColumns(cross(y, z), y, z);
}

/** The angle of a rotation in radians, 0 to pi. */
export function angleOf(q: Quaternion): number {
  return 2 * atan2(length([q[0], q[1], q[2]]), abs(q[3]));
}

/** The rotation about the same axis by `part` of the angle. */
export function share(q: Quaternion, part: number): Quaternion {
  const sign = q[3] >= 0 ? 1 : -1;
  const axis: Vector = [sign * q[0], sign * q[1], sign * q[2]];
  const size = length(axis);
  if (size < 1e-9) return IDENTITY;
  const half = atan2(size, sign * q[3]) * part;
  const s = sin(half) / size;
  return [axis[0] * s, axis[1] * s, axis[2] * s, cos(half)];
}

/** q with its angle cut to `limit` radians. */
export function limited(q: Quaternion, limit: number): Quaternion {
  const angle = angleOf(q);
  return angle <= limit ? q : share(q, limit / angle);
}

/** The angle in radians, -pi to pi, by which q turns about +X; 0 where that is undefined. */
export function twistAboutX(q: Quaternion): number {
  return abs(q[0]) + abs(q[3]) > PARALLEL ? wrapped(2 * atan2(q[0], q[3])) : 0;
}

/** The angle plus full turns, within pi of the centre. */
export function wrapped(angle: number, centre = 0): number {
  const turned = angle - centre + PI;
  return centre + (turned - 2 * PI * Math.floor(turned / (2 * PI))) - PI;
}

/** The angle in radians between two unit vectors. */
export function arc(a: Vector, b: Vector): number {
  return acos(clamp(dot(a, b), -1, 1));
}

export function clamp(x: number, low: number, high: number): number {
  return min(max(x, low), high);
}

export function radians(degrees: number): number {
  return (degrees * PI) / 180;
}

function orthogonal(v: Vector): Vector {
  return cross(v, abs(v[1]) < 0.9 ? [0, 1, 0] : [0, 0, 1]);
}

function fromColumns(x: Vector, y: Vector, z: Vector): Quaternion {
  const trace = x[0] + y[1] + z[2];
  if (trace > 0) {
    const s = 2 * sqrt(1 + trace);
    return [(y[2] - z[1]) / s, (z[0] - x[2]) / s, (x[1] - y[0]) / s, s / 4];
  }
  if (x[0] >= y[1] && x[0] >= z[2]) {
    const s = 2 * sqrt(1 + x[0] - y[1] - z[2]);
    return [s / 4, (y[0] + x[1]) / s, (z[0] + x[2]) / s, (y[2] - z[1]) / s];
  }
  if (y[1] >= z[2]) {
    const s = 2 * sqrt(1 + y[1] - x[0] - z[2]);
    return [(y[0] + x[1]) / s, s / 4, (z[1] + y[2]) / s, (z[0] - x[2]) / s];
  }
  const s = 2 * sqrt(1 + z[2] - x[0] - y[1]);
  return [(z[0] + x[2]) / s, (z[1] + y[2]) / s, s / 4, (x[1] - y[0]) / s];
}
