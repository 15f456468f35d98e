// The studio: renderer, lights, floor shadow, camera.

import {
  CanvasTexture,
  DirectionalLight,
  HemisphereLight,
  Mesh,
  MeshBasicMaterial,
  NeutralToneMapping,
  PCFShadowMap,
  PerspectiveCamera,
  PlaneGeometry,
  Scene,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
  type Object3D,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import type { Framing } from "./avatar";
import { LEVELS, Quality } from "./quality";

export const PRESETS = ["upper", "bust", "full", "side"] as const;
export type Preset = (typeof PRESETS)[number];

const FOV = 22;

/** Where the camera stands for a preset: metres, facing the avatar's front. */
export function placeCamera(
  preset: Preset,
  framing: Framing,
  aspect: number,
): { position: Vector3; target: Vector3 } {
  const height = framing.top;
  const bottom = { upper: framing.thigh, side: framing.thigh, bust: framing.chest, full: 0 }[preset];
  const low = bottom - 0.03 * height;
  const high = framing.top + 0.055 * height;
  const width = framing.reach * { upper: 1.5, side: 1.5, bust: 0.9, full: 1.9 }[preset];
  const half = Math.tan((FOV * Math.PI) / 360);
  const distance = Math.max((high - low) / 2, width / 2 / aspect) / half;
  const target = new Vector3(0, (low + high) / 2, 0);
  const turn = preset === "side" ? 0.6 : 0;
  const position = new Vector3(Math.sin(turn), 0.03, Math.cos(turn)).multiplyScalar(distance);
  return { position: position.add(target), target };
}

export class Stage {
  readonly scene = new Scene();
  readonly camera = new PerspectiveCamera(FOV, 1, 0.1, 60);
  readonly renderer: WebGLRenderer;
  private readonly controls: OrbitControls;
  private readonly floor: Mesh;
  private readonly key: DirectionalLight;
  private readonly quality = new Quality();
  private framing: Framing | null = null;
  private moved = false;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private preset: Preset,
  ) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setClearColor(0x000000, 0);
    this.renderer.toneMapping = NeutralToneMapping;
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFShadowMap;
    this.floor = contactShadow();
    this.key = keyLight();
    this.scene.add(this.key, this.key.target, ...otherLights(), this.floor);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enablePan = false;
    this.controls.enableDamping = true;
    this.controls.minDistance = 0.6;
    this.controls.maxDistance = 14;
    this.controls.addEventListener("start", () => (this.moved = true));
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  /** Frame an avatar; the camera stays where a person has moved it. */
  show(avatar: Object3D, framing: Framing): void {
    this.scene.add(avatar);
    this.framing = framing;
    if (!this.moved) this.resetCamera();
  }

  /** Back to the preset. */
  resetCamera(): void {
    this.moved = false;
    if (!this.framing) return;
    const { position, target } = placeCamera(this.preset, this.framing, this.camera.aspect);
    this.camera.position.copy(position);
    this.controls.target.copy(target);
    this.controls.update();
  }

  /** Nothing but the avatar. */
  set transparent(value: boolean) {
    this.floor.visible = !value;
  }

  /** Draw; `elapsed` seconds after the last time. */
  render(elapsed: number): void {
    if (this.quality.update(elapsed)) this.resize();
    this.controls.update();
    this.renderer.render(this.scene, this.camera);
  }

  private resize(): void {
    const width = this.canvas.clientWidth || 1;
    const height = this.canvas.clientHeight || 1;
    const { shadows, pixels } = LEVELS[this.quality.level]!;
    this.key.castShadow = shadows;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2) * pixels);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (!this.moved) this.resetCamera();
  }
}

function keyLight(): DirectionalLight {
  const key = new DirectionalLight(0xfff0e0, 2.1);
  key.position.set(1.6, 3.2, 2.6);
  key.target.position.set(0, 1.1, 0);
  key.shadow.mapSize.set(1024, 1024);
  key.shadow.radius = 5;
  key.shadow.normalBias = 0.02;
  key.shadow.bias = -0.0006;
  key.shadow.intensity = 0.55;
  const { camera } = key.shadow;
  camera.left = camera.bottom = -1.3;
  camera.right = camera.top = 1.3;
  camera.near = 1;
  camera.far = 7;
  return key;
}

/** Fill from above and below, rim and kicker from behind. */
function otherLights(): Object3D[] {
  const fill = new HemisphereLight(0xe8eeff, 0xb59c8c, 1.35);
  const rim = new DirectionalLight(0xbcd2ff, 1.7);
  rim.position.set(-2, 2.4, -2.4);
  const kicker = new DirectionalLight(0xffd9c2, 0.6);
  kicker.position.set(2.4, 1.6, -2);
  return [fill, rim, kicker];
}

/** A soft dark spot under the feet. */
function contactShadow(): Mesh {
  const size = 256;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d")!;
  const spot = context.createRadialGradient(size / 2, size / 2, 0, size / 2, size / 2, size / 2);
  spot.addColorStop(0, "rgba(10, 14, 30, 0.55)");
  spot.addColorStop(0.35, "rgba(10, 14, 30, 0.28)");
  spot.addColorStop(1, "rgba(10, 14, 30, 0)");
  context.fillStyle = spot;
  context.fillRect(0, 0, size, size);
  const map = new CanvasTexture(canvas);
  map.colorSpace = SRGBColorSpace;
  const material = new MeshBasicMaterial({ map, transparent: true, depthWrite: false });
  const floor = new Mesh(new PlaneGeometry(1.5, 1.1), material);
  floor.rotation.x = -Math.PI / 2;
  floor.position.set(0, 0.002, 0.02);
  return floor;
}
