// The overlay page: the engine's stream on a VRM avatar.

import "./style.css";
import { Avatar, AvatarError, checkVrm } from "./avatar";
import { Connection, type Link } from "./connection";
import { acceptFiles } from "./drop";
import { Hud } from "./hud";
import { Blink, Gaze, Mouth } from "./life";
import { readOptions } from "./options";
import { Playback } from "./playback";
import {
  decodeAvatar,
  decodeLatency,
  MAX_AVATAR_BYTES,
  type AvatarInfo,
  type Frame,
  type Hello,
  type StreamEvent,
} from "./protocol";
import { restPose } from "./rest";
import { Stage } from "./stage";

const MAX_STEP_S = 0.05; // springs explode on longer steps
const RATE_S = 1;

class App {
  readonly counts = { frames: 0, drawn: 0, reconnects: 0 };
  rates = { stream: 0, screen: 0 };
  link: Link = "connecting";
  hello: Hello | null = null;
  playback: Playback | null = null;
  avatar: Avatar | null = null;
  drawnAt = performance.now() / 1000;

  private readonly options = readOptions(location.search);
  private readonly hud = new Hud();
  private readonly stage: Stage;
  private readonly connection: Connection;
  private readonly blink = new Blink(Math.random);
  private readonly gaze = new Gaze(Math.random);
  private readonly mouth = new Mouth(Math.random);
  private wanted: AvatarInfo | null = null;
  private loading = 0;
  private shown = "";
  private tally = { at: performance.now() / 1000, frames: 0, drawn: 0 };

  constructor() {
    this.stage = new Stage(
      document.getElementById("stage") as HTMLCanvasElement,
      this.options.camera,
    );
    this.transparent = this.options.transparent;
    document.body.classList.toggle("bare", !this.options.hud);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.connection = new Connection(`${scheme}://${location.host}/v1/watch`, {
      link: (link) => this.onLink(link),
      hello: (hello) => this.onHello(hello),
      frame: (frame, at) => this.onFrame(frame, at),
      event: (event) => this.onEvent(event),
      problem: (message) => this.hud.toast(message, "error"),
    });
    acceptFiles((file) => void this.onFile(file));
    const mannequin = document.getElementById("mannequin")!;
    mannequin.addEventListener("click", () => this.connection.control({ avatar: "default" }));
    addEventListener("keydown", (event) => this.onKey(event));
  }

  start(): void {
    this.connection.start();
    this.stage.renderer.setAnimationLoop(() => this.draw());
  }

  get transparent(): boolean {
    return document.body.classList.contains("transparent");
  }

  set transparent(value: boolean) {
    document.body.classList.toggle("transparent", value);
    this.stage.transparent = value;
  }

  private draw(): void {
    const now = performance.now() / 1000;
    const elapsed = now - this.drawnAt;
    this.drawnAt = now;
    const dt = Math.min(elapsed, MAX_STEP_S);
    const { avatar, playback } = this;
    if (avatar && playback) {
      avatar.apply(playback.update(now));
      this.hud.state(this.link, playback.voice);
      const speaking = playback.voice === "speaking" && playback.mode === "live";
      this.mouth.update(now, dt, this.options.mouth && speaking);
      avatar.express(this.blink.update(now), this.mouth.weights);
      this.gaze.update(now, dt);
      const { camera } = this.stage;
      const distance = camera.position.length();
      avatar.focus.position.set(this.gaze.x * distance, this.gaze.y * distance, 0);
      avatar.focus.position.applyQuaternion(camera.quaternion).add(camera.position);
      avatar.focus.updateMatrixWorld();
      if (elapsed > 0.5) avatar.settle();
      avatar.update(dt);
    } else {
      this.hud.state(this.link, "idle");
    }
    this.stage.render(elapsed);
    this.counts.drawn++;
    if (now - this.tally.at >= RATE_S) this.count(now);
  }

  private count(now: number): void {
    const seconds = now - this.tally.at;
    this.rates = {
      stream: (this.counts.frames - this.tally.frames) / seconds,
      screen: (this.counts.drawn - this.tally.drawn) / seconds,
    };
    this.tally = { at: now, frames: this.counts.frames, drawn: this.counts.drawn };
    this.hud.rates(this.rates.stream, this.rates.screen);
  }

  private onLink(link: Link): void {
    if (this.link === "open" && link !== "open") this.counts.reconnects++;
    this.link = link;
    this.hud.state(link, this.playback?.voice ?? "idle"); // a hidden page does not draw
  }

  private onHello(hello: Hello): void {
    const pose = this.playback?.pose;
    const same = pose?.rotations.length === hello.bones.length * 4;
    this.playback = new Playback(hello, restPose(hello.bones), same ? (pose ?? null) : null);
    this.hello = hello;
    this.hud.hello(hello);
    this.avatar?.bind(hello.bones, hello.parents);
    if (hello.avatar) void this.fetchAvatar(hello.avatar);
  }

  private onFrame(frame: Frame, at: number): void {
    this.counts.frames++;
    this.playback?.push(frame, at);
  }

  private onEvent({ kind, sample, data }: StreamEvent): void {
    switch (kind) {
      case "word":
        this.hud.word(String(data["text"]), Number(data["start"] ?? sample), data["final"] !== false);
        break;
      case "caption":
        this.hud.caption(String(data["text"] ?? ""));
        break;
      case "latency":
        if (!this.hello) break;
        this.hello.latency = decodeLatency(data, this.hello.latency);
        this.hud.latency(this.hello.latency);
        break;
      case "avatar": {
        const info = decodeAvatar(data);
        if (info) void this.fetchAvatar(info);
        break;
      }
      case "warning":
        if (data["code"] !== "lag") this.hud.toast(String(data["message"] ?? "warning"), "error");
        break;
      default:
        break;
    }
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key.toLowerCase()) {
      case "h":
        document.body.classList.toggle("bare");
        break;
      case "r":
        this.stage.resetCamera();
        break;
      case "t":
        this.transparent = !this.transparent;
        break;
      default:
        break;
    }
  }

  /** Show the avatar that the engine names, unless it is on the stage already. */
  private async fetchAvatar(info: AvatarInfo): Promise<void> {
    if (this.wanted?.sha256 === info.sha256) return;
    this.wanted = info;
    document.getElementById("mannequin")!.hidden = !info.custom;
    if (this.shown === info.sha256) return;
    try {
      const response = await fetch(info.url);
      if (!response.ok) throw new AvatarError(`The engine does not give the avatar (${response.status}).`);
      const length = Number(response.headers.get("Content-Length") ?? 0);
      if (length > MAX_AVATAR_BYTES) throw new AvatarError("The avatar is larger than 100 MB.");
      const bytes = new Uint8Array(await response.arrayBuffer());
      await this.showAvatar(bytes, info.sha256);
    } catch (error) {
      this.wanted = null;
      this.hud.toast(readable(error), "error");
    }
  }

  private async showAvatar(bytes: Uint8Array, sha256: string): Promise<void> {
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
    if (this.hello && this.playback) {
      avatar.bind(this.hello.bones, this.hello.parents);
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

  private async onFile(file: File): Promise<void> {
    try {
      if (file.size > MAX_AVATAR_BYTES) throw new AvatarError("This file is larger than 100 MB.");
      const bytes = new Uint8Array(await file.arrayBuffer());
      checkVrm(bytes);
      const digest = await sha256(bytes);
      await this.showAvatar(bytes, digest);
      await this.connection.send(file.name, bytes, digest);
      this.hud.toast(`${this.avatar?.name ?? file.name} is your avatar now, on every page.`);
    } catch (error) {
      this.hud.toast(readable(error), "error");
      const wanted = this.wanted;
      this.wanted = null;
      if (wanted) void this.fetchAvatar(wanted); // back to what the engine has
    }
  }
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readable(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

declare global {
  interface Window {
    /** What tests and curious people may look at. */
    __gesture: unknown;
  }
}

const app = new App();
window.__gesture = {
  get state() {
    return {
      link: app.link,
      mode: app.playback?.mode ?? null,
      blending: app.playback?.blending(app.drawnAt) ?? null,
      voice: app.playback?.voice ?? null,
      frames: app.counts.frames,
      drawn: app.counts.drawn,
      reconnects: app.counts.reconnects,
      fps: app.rates,
      jitter: app.playback?.clock.jitter ?? null,
      sample: app.playback?.sample ?? null,
      avatar: app.avatar ? { name: app.avatar.name, version: app.avatar.version } : null,
    };
  },
  bones: () => app.avatar?.bones() ?? {},
  positions: () => app.avatar?.positions() ?? {},
};
app.start();
