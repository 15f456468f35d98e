// The avatar on its stage, moved by a stream: what every page of ours shows.

import { Avatar, checkVrm } from "./avatar";
import { Blink, Gaze, Mouth, type Weights } from "./life";
import { Playback } from "./playback";
import type { Frame, Hello, VoiceState } from "./protocol";
import { restPose } from "./rest";
import { Stage, type Preset } from "./stage";

const MAX_STEP_S = 0.05; // springs explode on longer steps
const RATE_S = 1;

/** What of a stream's header its motion needs. */
export type Header = Pick<Hello, "bones" | "parents" | "fps" | "sampleRate" | "face">;

export class Performer {
  readonly counts = { frames: 0, drawn: 0 };
  readonly stage: Stage;
  rates = { stream: 0, screen: 0 };
  playback: Playback | null = null;
  avatar: Avatar | null = null;
  drawnAt = performance.now() / 1000;
  /** SHA-256 of the avatar that is shown. */
  shown = "";
  mouthMoves = true;
  /** Told after every drawing, and about once a second of the rates. */
  onDraw: () => void = () => undefined;
  onRates: (stream: number, screen: number) => void = () => undefined;

  private header: Header | null = null;
  private readonly blink = new Blink(Math.random);
  private readonly gaze = new Gaze(Math.random);
  private readonly mouth = new Mouth(Math.random);
  private loading = 0;
  private tally = { at: performance.now() / 1000, frames: 0, drawn: 0 };

  constructor(canvas: HTMLCanvasElement, camera: Preset) {
    this.stage = new Stage(canvas, camera);
  }

  start(): void {
    this.stage.renderer.setAnimationLoop(() => this.draw());
  }

  get voice(): VoiceState {
    return this.playback?.voice ?? "idle";
  }

  get transparent(): boolean {
    return document.body.classList.contains("transparent");
  }

  set transparent(value: boolean) {
    document.body.classList.toggle("transparent", value);
    this.stage.transparent = value;
  }

  /** A stream begins; the pose that is shown leads over to it. */
  begin(header: Header): void {
    const pose = this.playback?.pose;
    const same = pose?.rotations.length === header.bones.length * 4;
    this.playback = new Playback(header, restPose(header.bones), same ? (pose ?? null) : null);
    this.header = header;
    this.avatar?.bind(header.bones, header.parents);
  }

  /** Take a frame that arrived at local time `at`, seconds. */
  push(frame: Frame, at: number): void {
    this.counts.frames++;
    this.playback?.push(frame, at);
  }

  /** Check, load and show a .vrm; throws `AvatarError`. */
  async show(bytes: Uint8Array, sha256: string): Promise<void> {
    checkVrm(bytes);
    const turn = ++this.loading;
    const avatar = await Avatar.load(bytes);
    if (turn !== this.loading) {
      avatar.dispose(); // another was asked for meanwhile
      return;
    }
    const old = this.avatar;
    this.avatar = avatar;
    this.shown = sha256;
    if (this.header && this.playback) {
      avatar.bind(this.header.bones, this.header.parents);
      avatar.apply(this.playback.pose); // never a T-pose on the screen
      avatar.update(0);
      avatar.settle();
    }
    this.stage.show(avatar.vrm.scene, avatar.framing);
    if (old) {
      old.vrm.scene.removeFromParent();
      old.dispose();
    }
    document.body.classList.add("ready");
  }

  private draw(): void {
    const now = performance.now() / 1000;
    const elapsed = now - this.drawnAt;
    this.drawnAt = now;
    const dt = Math.min(elapsed, MAX_STEP_S);
    const { avatar, playback } = this;
    if (avatar && playback) {
      avatar.apply(playback.update(now));
      const speaking = playback.voice === "speaking" && playback.mode === "live";
      const face = playback.mode === "live" ? this.streamed(playback.face) : null;
      const said = this.mouthMoves ? (face?.mouth ?? null) : null;
      this.mouth.update(now, dt, this.mouthMoves && speaking, said);
      avatar.express(face?.blink ?? this.blink.update(now), this.mouth.weights);
      this.gaze.update(now, dt);
      const { camera } = this.stage;
      const distance = camera.position.length();
      avatar.focus.position.set(this.gaze.x * distance, this.gaze.y * distance, 0);
      avatar.focus.position.applyQuaternion(camera.quaternion).add(camera.position);
      avatar.focus.updateMatrixWorld();
      if (elapsed > 0.5) avatar.settle();
      avatar.update(dt);
    }
    this.onDraw();
    this.stage.render(elapsed);
    this.counts.drawn++;
    if (now - this.tally.at >= RATE_S) this.count(now);
  }

  /** The stream's mouth and lids; null where they are our own affair. */
  private streamed(face: Float32Array | null): { mouth: Weights; blink: number | null } | null {
    if (!face || !this.header) return null;
    const names = this.header.face;
    const of = (name: string): number => face[names.indexOf(name)] ?? 0;
    const mouth = { aa: of("aa"), ih: of("ih"), ou: of("ou"), ee: of("ee"), oh: of("oh") };
    return { mouth, blink: names.includes("blink") ? of("blink") : null };
  }

  private count(now: number): void {
    const seconds = now - this.tally.at;
    this.rates = {
      stream: (this.counts.frames - this.tally.frames) / seconds,
      screen: (this.counts.drawn - this.tally.drawn) / seconds,
    };
    this.tally = { at: now, frames: this.counts.frames, drawn: this.counts.drawn };
    this.onRates(this.rates.stream, this.rates.screen);
  }
}

/** What tests and curious people may look at. */
export function lookInside(performer: Performer): Record<string, unknown> {
  const { playback, avatar } = performer;
  return {
    mode: playback?.mode ?? null,
    blending: playback?.blending(performer.drawnAt) ?? null,
    voice: playback?.voice ?? null,
    frames: performer.counts.frames,
    drawn: performer.counts.drawn,
    fps: performer.rates,
    jitter: playback?.clock.jitter ?? null,
    sample: playback?.sample ?? null,
    avatar: avatar ? { name: avatar.name, version: avatar.version } : null,
  };
}
