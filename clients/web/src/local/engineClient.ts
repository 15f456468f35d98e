// The page's side of the engine worker.

import type { EngineFrame, StreamOptions } from "../engine/stream";
import type { Word } from "../engine/wordTimeline";
import type { FromWorker, Loaded, ToWorker } from "./messages";

export interface EngineListener {
  /** What part of the download is done, 0 to 1. */
  progress(part: number): void;
  frame(frame: EngineFrame, stepMs: number): void;
  dropped(frames: number): void;
  failed(message: string): void;
}

interface Waiting<T> {
  done(value: T): void;
  failed(error: Error): void;
}

export class EngineClient {
  info: Loaded | null = null;
  private readonly worker: Worker;
  private session = 0;
  private running = false;
  private loading: Waiting<Loaded> | null = null;
  private rendering: Waiting<EngineFrame[]> | null = null;

  constructor(private readonly listener: EngineListener) {
    this.worker = new Worker(new URL("./engine.worker.ts", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.take(data);
    this.worker.onerror = ({ message }) => this.fail(message || "The engine cannot be started here.");
  }

  /** Load the run time and the artifact folder (its address ends in /). */
  load(runtime: string, model: string): Promise<Loaded> {
    this.say({ type: "load", runtime, model });
    return new Promise((done, failed) => (this.loading = { done, failed }));
  }

  /** Begin a stream; audio of another one still under way is forgotten. */
  start(rate: number, words: Word[], options: StreamOptions): void {
    this.running = true;
    this.say({ type: "start", session: ++this.session, rate, words, options });
  }

  /** Hand audio over for good: the samples are moved. */
  audio(samples: Float32Array): void {
    if (this.running) this.say({ type: "audio", samples }, [samples.buffer]);
  }

  stop(): void {
    this.running = false;
    this.say({ type: "stop" });
  }

  /** All frames of audio at 16 kHz, in a stream of its own. */
  render(samples: Float32Array, words: Word[], options: StreamOptions): Promise<EngineFrame[]> {
    this.say({ type: "render", samples, words, options });
    return new Promise((done, failed) => (this.rendering = { done, failed }));
  }

  private take(message: FromWorker): void {
    switch (message.type) {
      case "progress":
        this.listener.progress(message.loaded / message.total);
        break;
      case "loaded":
        this.info = message.info;
        this.loading?.done(message.info);
        this.loading = null;
        break;
      case "frame":
        if (message.session === this.session) this.listener.frame(message.frame, message.stepMs);
        break;
      case "dropped":
        this.listener.dropped(message.frames);
        break;
      case "rendered":
        this.rendering?.done(message.frames);
        this.rendering = null;
        break;
      case "failed":
        this.fail(message.message);
        break;
    }
  }

  private fail(message: string): void {
    const waiting = this.loading ?? this.rendering;
    this.loading = this.rendering = null;
    if (waiting) waiting.failed(new Error(message));
    else this.listener.failed(message);
  }

  private say(message: ToWorker, moved: Transferable[] = []): void {
    this.worker.postMessage(message, moved);
  }
}
