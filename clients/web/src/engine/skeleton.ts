// Skeletons as direction vectors: what a network emits (streamer/skeleton.py).

/** Joints and bones of one pose layout; vectors are the bones', then the normals. */
export interface SkeletonData {
  name: string;
  /** Three signs that turn the skeleton's axes into VRM 1.0's. */
  axes: readonly number[];
  root_joint: number;
  joints: readonly string[];
  bones: readonly (readonly [number, number])[];
  bone_lengths: readonly number[];
  normals: readonly string[];
  mean: readonly (readonly number[])[];
}

export class Skeleton {
  readonly name: string;
  readonly axes: readonly number[];
  readonly joints: readonly string[];
  readonly bones: readonly (readonly [number, number])[];
  readonly normals: readonly string[];
  /** Mean directions [D * 3]. */
  readonly mean: Float32Array;
  readonly vectorNames: readonly string[];
  readonly rootJoint: number;
  private readonly lengths: Float32Array;
  private readonly order: readonly number[];

  constructor(data: SkeletonData) {
    this.name = data.name;
    this.axes = data.axes;
    this.rootJoint = data.root_joint;
    this.joints = data.joints;
    this.bones = data.bones;
    this.normals = data.normals;
    this.lengths = Float32Array.from(data.bone_lengths);
    this.mean = Float32Array.from(data.mean.flat());
    this.vectorNames = [
      ...data.bones.map(([a, b]) => `${data.joints[a]}>${data.joints[b]}`),
      ...data.normals,
    ];
    this.order = rootwards(data);
    const vectors = this.vectors * 3;
    if (this.mean.length !== vectors || this.lengths.length !== this.bones.length) {
      throw new RangeError(`skeleton ${this.name}: lengths or means do not fit its bones`);
    }
  }

  /** The number D of vectors of a pose. */
  get vectors(): number {
    return this.bones.length + this.normals.length;
  }

  /** Vector index of a bone by its joint names; -1 if there is none. */
  index(parent: string, child: string): number {
    return this.vectorNames.indexOf(`${parent}>${child}`);
  }

  /** Joint positions [J * 3] for directions [D * 3], root at 0, same axes. */
  positions(directions: Float32Array): Float32Array {
    const out = new Float32Array(this.joints.length * 3);
    for (const bone of this.order) {
      const [parent, child] = this.bones[bone]!;
      for (let axis = 0; axis < 3; axis++) {
        out[child * 3 + axis] =
          out[parent * 3 + axis]! + this.lengths[bone]! * directions[bone * 3 + axis]!;
      }
    }
    return out;
  }
}

/** Bone indices in which every parent joint comes before its children. */
function rootwards(data: SkeletonData): number[] {
  const known = new Set([data.root_joint]);
  const order: number[] = [];
  let todo = data.bones.map((_, i) => i);
  while (todo.length > 0) {
    const ready = todo.filter((i) => known.has(data.bones[i]![0]));
    if (ready.length === 0) throw new RangeError(`skeleton ${data.name}: some joints hang on no root`);
    order.push(...ready);
    for (const i of ready) known.add(data.bones[i]![1]);
    todo = todo.filter((i) => !ready.includes(i));
  }
  return order;
}
