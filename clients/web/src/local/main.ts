// The whole product in a page: microphone or recording, engine, avatar. Nothing
// leaves the machine.

import "../style.css";
import "./local.css";
import runtimeUrl from "virtual:onnxruntime-wasm";
import { AvatarError } from "../avatar";
import { acceptFiles } from "../drop";
import { SAMPLE_RATE } from "../engine/frameClock";
import { EXPRESSIONS } from "../engine/mouth";
import type { EngineFrame } from "../engine/stream";
import type { Word } from "../engine/wordTimeline";
import { sha256 } from "../files";
import { Hud } from "../hud";
import { readOptions } from "../options";
import { lookInside, Performer } from "../performer";
import { MAX_AVATAR_BYTES } from "../protocol";
import { Sound } from "../sound";
import { EngineClient } from "./engineClient";
import type { Loaded } from "./messages";

type Source = "none" | "microphone" | "demo" | "recording";

const MAX_SOUND_BYTES = 500 * 1024 * 1024;
const DISPLAY_S = 0.02; // from a pose to the light of the screen

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

function beside(path: string): string {
  return new URL(path, document.baseURI).href;
}

class LocalPage {
  source: Source = "none";
  readonly performer: Performer;
  readonly engine: EngineClient;
  private readonly options = readOptions(location.search);
  private readonly hud = new Hud(false);
  private readonly sound = new Sound((samples) => this.engine.audio(samples));
  private stepMs = NaN;
  private seq = 0;

  constructor() {
    this.performer = new Performer(element<HTMLCanvasElement>("stage"), this.options.camera);
    this.performer.transparent = this.options.transparent;
    this.performer.mouthMoves = this.options.mouth;
    this.performer.onDraw = () => this.hud.state("open", this.performer.voice);
    this.performer.onRates = (stream, screen) => {
      this.hud.rates(stream, screen);
      this.hud.figure("compute", this.stepMs, "ms");
    };
    document.body.classList.toggle("bare", !this.options.hud);
    this.engine = new EngineClient({
      progress: (part) => (element<HTMLProgressElement>("progress").value = part),
      frame: (frame, stepMs) => this.onFrame(frame, stepMs),
      dropped: () => this.hud.toast("This machine is too slow at the moment: the motion starts afresh.", "error"),
      failed: (message) => this.fail(message),
    });
    this.button("microphone", async () => {
      await this.sound.microphone();
      await this.begin("microphone", []);
    });
    this.button("demo", () => this.playDemo());
    this.button("stop", async () => this.stop());
    acceptFiles((file) => void this.attempt(() => this.onFile(file)));
    addEventListener("keydown", (event) => this.onKey(event));
  }

  async start(): Promise<void> {
    this.performer.start();
    await this.attempt(async () => {
      const [info] = await Promise.all([
        this.engine.load(runtimeUrl, beside("model/")),
        this.showMannequin(),
      ]);
      this.onLoaded(info);
    });
  }

  private onLoaded(info: Loaded): void {
    this.performer.begin({ ...info, bones: [...info.bones], parents: [...info.parents], sampleRate: SAMPLE_RATE, face: [...EXPRESSIONS] });
    const model = element("model");
    model.textContent = `${info.model} · this browser`;
    model.title = `${(info.bytes / 1e6).toFixed(1)} MB loaded; weights: ${info.licence}`;
    this.hud.figure("algorithmic", ((info.lookahead + 1) / info.fps) * 1000, "ms");
    element("progress").hidden = true;
    for (const id of ["microphone", "demo"]) element<HTMLButtonElement>(id).disabled = false;
  }

  /** How much later than the voice its motion can be seen, seconds. */
  private get delay(): number {
    const { info } = this.engine;
    const compute = Number.isFinite(this.stepMs) ? this.stepMs / 1000 : 0;
    return info ? (info.lookahead + 2) / info.fps + compute + DISPLAY_S : 0;
  }

  private async begin(source: Source, words: Word[]): Promise<void> {
    const info = this.engine.info!;
    this.performer.begin({ ...info, bones: [...info.bones], parents: [...info.parents], sampleRate: SAMPLE_RATE, face: [...EXPRESSIONS] });
    this.engine.start(this.sound.rate, words, {});
    this.source = source;
    element("stop").hidden = source === "none";
    const delay = element("delay");
    delay.hidden = source !== "microphone";
    element("visible").textContent = `${Math.round(this.delay * 1000)} ms`;
    element("said").textContent = {
      none: "",
      microphone: "Speak: the avatar gestures along.",
      demo: "Demo speech; the voice is delayed to fit the motion.",
      recording: "Your recording; the voice is delayed to fit the motion.",
    }[source];
  }

  private async playDemo(): Promise<void> {
    await this.sound.open();
    const [bytes, rows] = await Promise.all([
      fetched("demo/speech.flac").then((response) => response.arrayBuffer()),
      fetched("demo/words.json").then((response) => response.json() as Promise<DemoWord[]>),
    ]);
    const words = rows.map(({ word, start_s, end_s }) => ({
      text: word,
      start: Math.round(start_s * SAMPLE_RATE),
      end: Math.round(end_s * SAMPLE_RATE),
      final: true,
    }));
    await this.play(await this.sound.decode(bytes), "demo", words);
  }

  private async play(recording: AudioBuffer, source: Source, words: Word[]): Promise<void> {
    await this.begin(source, words);
    await this.sound.play(recording, this.delay, () => this.stop());
  }

  private stop(): void {
    this.sound.stop();
    this.engine.stop();
    this.source = "none";
    element("stop").hidden = true;
    element("delay").hidden = true;
    element("said").textContent = "";
  }

  private onFrame(frame: EngineFrame, stepMs: number): void {
    this.stepMs = Number.isFinite(this.stepMs) ? 0.95 * this.stepMs + 0.05 * stepMs : stepMs;
    this.performer.push({ seq: this.seq++, ...frame }, performance.now() / 1000);
  }

  private async onFile(file: File): Promise<void> {
    if (/\.vrm$/i.test(file.name)) {
      if (file.size > MAX_AVATAR_BYTES) throw new AvatarError("This file is larger than 100 MB.");
      await this.showAvatar(new Uint8Array(await file.arrayBuffer()));
      return;
    }
    if (!this.engine.info) throw new Error("One moment: the engine is still loading.");
    if (file.size > MAX_SOUND_BYTES) throw new Error("This recording is larger than 500 MB.");
    await this.play(await this.sound.decode(await file.arrayBuffer()), "recording", []);
  }

  private async showMannequin(): Promise<void> {
    const response = await fetched("mannequin.vrm");
    await this.showAvatar(new Uint8Array(await response.arrayBuffer()));
  }

  private async showAvatar(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const digest = (crypto as Partial<Crypto>).subtle ? await sha256(bytes) : "";
    await this.performer.show(bytes, digest);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "h") document.body.classList.toggle("bare");
    if (key === "r") this.performer.stage.resetCamera();
    if (key === "t") this.performer.transparent = !this.performer.transparent;
  }

  private button(id: string, act: () => Promise<void>): void {
    element(id).addEventListener("click", () => void this.attempt(act));
  }

  private async attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.hud.toast(error instanceof Error ? error.message : String(error), "error");
    }
  }

  private fail(message: string): void {
    this.stop();
    this.hud.toast(message, "error");
  }
}

interface DemoWord {
  word: string;
  start_s: number;
  end_s: number;
}

async function fetched(path: string): Promise<Response> {
  const response = await fetch(beside(path));
  if (!response.ok) throw new Error(`${path} is missing beside this page (${response.status}).`);
  return response;
}

declare global {
  interface Window {
    /** What tests and curious people may look at. */
    __gesture: unknown;
  }
}

const page = new LocalPage();
window.__gesture = {
  get state() {
    return { source: page.source, model: page.engine.info?.model ?? null, ...lookInside(page.performer) };
  },
  bones: () => page.performer.avatar?.bones() ?? {},
  positions: () => page.performer.avatar?.positions() ?? {},
  /** Frames for audio at 16 kHz, as fast as the machine allows. */
  render: (samples: Float32Array, words: Word[], seed: number) =>
    page.engine.render(samples, words, { seed }),
};
void page.start();
