// A VRM avatar: loading, checking, and applying the stream's pose to it.

import { Box3, Object3D, Quaternion, Vector3, type Mesh, type Vector3Tuple } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import {
  VRMHumanBoneName,
  VRMLoaderPlugin,
  VRMUtils,
  type VRM,
} from "@pixiv/three-vrm";
import { VOWELS, type Vowel } from "./life";
import { MAX_AVATAR_BYTES } from "./protocol";
import type { Pose } from "./timeline";

const GLB_MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const STREAM_HIPS_M = 0.95; // rest height of the hips in the stream's units

/** What a person may be told about a file that cannot be shown. */
export class AvatarError extends Error {}

/** Raise `AvatarError` unless the bytes are a binary glTF with a VRM extension. */
export function checkVrm(bytes: Uint8Array): void {
  if (bytes.length > MAX_AVATAR_BYTES) {
    const size = (bytes.length / 1024 / 1024).toFixed(0);
    throw new AvatarError(`This file has ${size} MB; the limit is 100 MB.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 20 || view.getUint32(0, true) !== GLB_MAGIC) {
    throw new AvatarError("This is not a VRM avatar. Export your character as .vrm and drop it here.");
  }
  const length = view.getUint32(12, true);
  if (view.getUint32(16, true) !== JSON_CHUNK || 20 + length > bytes.length) {
    throw new AvatarError("This file is damaged: its header is incomplete.");
  }
  let extensions: unknown;
  try {
    const text = new TextDecoder().decode(bytes.subarray(20, 20 + length));
    extensions = (JSON.parse(text) as { extensions?: unknown }).extensions;
  } catch {
    throw new AvatarError("This file is damaged: its description cannot be read.");
  }
  const names = typeof extensions === "object" && extensions !== null ? Object.keys(extensions) : [];
  if (!names.includes("VRM") && !names.includes("VRMC_vrm")) {
    throw new AvatarError("This is a 3D model but not a VRM avatar: it has no humanoid description.");
  }
}

/** Where a camera finds the avatar's parts, metres, facing +Z. */
export interface Framing {
  top: number;
  head: number;
  chest: number;
  hips: number;
  thigh: number;
  reach: number;
}

interface Binding {
  node: Object3D;
  rest: Quaternion;
  /** Stream bones whose rotations make up this one: missing ancestors, then itself. */
  sources: number[];
}

export class Avatar {
  readonly name: string;
  readonly version: "0" | "1";
  readonly framing: Framing;
  /** What the eyes follow. */
  readonly focus = new Object3D();

  private bindings: Binding[] = [];
  private readonly hips: Object3D | null;
  private readonly hipsRest: Vector3;
  private readonly scale: number;
  private readonly flip: number;

  private constructor(readonly vrm: VRM) {
    const { meta } = vrm;
    this.version = meta.metaVersion === "0" ? "0" : "1";
    this.name = (meta.metaVersion === "0" ? meta.title : meta.name) || "avatar";
    this.flip = this.version === "0" ? -1 : 1; // VRM 0 bones look the other way
    this.hips = vrm.humanoid.getNormalizedBoneNode("hips");
    this.hipsRest = this.hips?.position.clone() ?? new Vector3();
    this.framing = measure(vrm);
    this.scale = this.framing.hips / STREAM_HIPS_M;
    if (vrm.lookAt) vrm.lookAt.target = this.focus;
  }

  /** Load a checked file; raises `AvatarError`. */
  static async load(bytes: Uint8Array): Promise<Avatar> {
    const loader = new GLTFLoader();
    loader.register((parser) => new VRMLoaderPlugin(parser));
    let vrm: VRM | undefined;
    try {
      const copy = bytes.slice().buffer;
      const gltf = await loader.parseAsync(copy, "");
      vrm = gltf.userData["vrm"] as VRM | undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new AvatarError(`This avatar cannot be read: ${reason}`);
    }
    if (!vrm?.humanoid) throw new AvatarError("This VRM has no humanoid skeleton.");
    VRMUtils.removeUnnecessaryVertices(vrm.scene);
    VRMUtils.combineSkeletons(vrm.scene);
    VRMUtils.combineMorphs(vrm);
    VRMUtils.rotateVRM0(vrm);
    vrm.scene.traverse((object) => {
      object.frustumCulled = false; // bounds are those of the T-pose
      if ((object as Mesh).isMesh) object.castShadow = object.receiveShadow = true;
    });
    return new Avatar(vrm);
  }

  /** Map a stream's bones to this avatar's; a bone that it lacks turns its children. */
  bind(bones: readonly string[], parents: readonly number[]): void {
    const nodes = bones.map((bone) => {
      const known = (Object.values(VRMHumanBoneName) as string[]).includes(bone);
      return known ? this.vrm.humanoid.getNormalizedBoneNode(bone as VRMHumanBoneName) : null;
    });
    this.bindings = [];
    nodes.forEach((node, i) => {
      if (!node) return;
      const sources = [i];
      for (let p = parents[i] ?? -1; p >= 0 && !nodes[p]; p = parents[p] ?? -1) sources.unshift(p);
      this.bindings.push({ node, rest: new Quaternion(), sources });
    });
  }

  /** Set every bone. */
  apply(pose: Pose): void {
    const { rotations, root } = pose;
    const one = scratch;
    for (const { node, sources } of this.bindings) {
      const q = node.quaternion.identity();
      for (const i of sources) {
        one.fromArray(rotations, i * 4);
        one.x *= this.flip;
        one.z *= this.flip;
        q.multiply(one);
      }
    }
    this.hips?.position.set(
      this.hipsRest.x + root[0]! * this.scale * this.flip,
      this.hipsRest.y + root[1]! * this.scale,
      this.hipsRest.z + root[2]! * this.scale * this.flip,
    );
  }

  /** Set the face: 0..1 each. */
  express(blink: number, mouth: Readonly<Record<Vowel, number>>): void {
    const face = this.vrm.expressionManager;
    face?.setValue("blink", blink);
    for (const vowel of VOWELS) face?.setValue(vowel, mouth[vowel]);
  }

  /** Run springs, gaze and expressions, and copy the pose to the skeleton. */
  update(dt: number): void {
    this.vrm.update(dt);
  }

  /** Springs start anew: after loading, or after time has stood still. */
  settle(): void {
    this.vrm.springBoneManager?.reset();
  }

  /** World rotations xyzw of the drawn bones, by VRM 1.0 name. */
  bones(): Record<string, number[]> {
    const result: Record<string, number[]> = {};
    for (const bone of Object.values(VRMHumanBoneName)) {
      const node = this.vrm.humanoid.getRawBoneNode(bone);
      if (node) result[bone] = node.getWorldQuaternion(scratch).toArray();
    }
    return result;
  }

  /** World positions of the drawn bones, by VRM 1.0 name. */
  positions(): Record<string, Vector3Tuple> {
    const result: Record<string, Vector3Tuple> = {};
    for (const bone of Object.values(VRMHumanBoneName)) {
      const node = this.vrm.humanoid.getRawBoneNode(bone);
      if (node) result[bone] = node.getWorldPosition(new Vector3()).toArray();
    }
    return result;
  }

  dispose(): void {
    VRMUtils.deepDispose(this.vrm.scene);
  }
}

const scratch = new Quaternion();

function measure(vrm: VRM): Framing {
  vrm.scene.updateMatrixWorld(true);
  const at = (bone: VRMHumanBoneName): Vector3 | null =>
    vrm.humanoid.getRawBoneNode(bone)?.getWorldPosition(new Vector3()) ?? null;
  const head = at("head") ?? new Vector3(0, 1.5, 0);
  const hips = at("hips") ?? new Vector3(0, 0.95, 0);
  const neck = at("neck") ?? head;
  const chest = at("upperChest") ?? at("chest") ?? at("spine") ?? hips.clone().lerp(head, 0.6);
  const knee = at("leftLowerLeg") ?? new Vector3(0, hips.y * 0.5, 0);
  const [left, right] = [at("leftHand"), at("rightHand")];
  // Skinned vertices know the crown, hair included; a tall hat may be cut.
  const box = new Box3().setFromObject(vrm.scene, true);
  const least = head.y + Math.max(0.08 * head.y, 1.2 * (head.y - neck.y));
  const top = Math.min(Math.max(box.max.y, least), 1.6 * head.y);
  return {
    top,
    head: head.y,
    chest: chest.y,
    hips: hips.y,
    thigh: hips.y - 0.6 * (hips.y - knee.y),
    reach: left && right ? left.distanceTo(right) / 2 : 0.7,
  };
}
