// A stream in real time: windows wait for compute, but not for long.

import { framesPerSecond, type EngineFrame, type Stream } from "./stream";
import type { ModelSpec } from "./manifest";
import type { Window } from "./windower";

const MOST_BACKLOG_S = 1;

export interface LiveListener {
  /** A frame, and how long its step took. */
  frame(frame: EngineFrame, stepMs: number): void;
  /** This many frames came too late and were given up; the next one is a reset. */
  dropped(frames: number): void;
  failed(error: unknown): void;
}

/**
 * Runs a stream's steps one after the other as audio comes.
 *
 * More than 1 s that no step has taken yet is forgotten, and the stream starts
 * afresh: a machine that is too slow lags for a second at most.
 */
export class LiveStream {
  private waiting: Window[] = [];
  private running = false;
  private closed = false;
  private readonly most: number;

  constructor(
    readonly stream: Stream,
    spec: ModelSpec,
    private readonly listener: LiveListener,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.most = Math.ceil(MOST_BACKLOG_S * framesPerSecond(spec));
  }

  /** Take the next samples of the stream. */
  push(samples: Float32Array): void {
    if (this.closed) return;
    const { windower } = this.stream;
    this.waiting.push(...windower.push(samples, windower.position));
    if (this.waiting.length > this.most) {
      const dropped = this.waiting.length;
      this.waiting = [];
      windower.restart();
      this.listener.dropped(dropped);
    }
    if (!this.running) void this.run();
  }

  /** Forget what waits; nothing comes any more. */
  close(): void {
    this.closed = true;
    this.waiting = [];
  }

  private async run(): Promise<void> {
    this.running = true;
    try {
      for (let window = this.waiting.shift(); window; window = this.waiting.shift()) {
        const began = this.now();
        const frame = await this.stream.step(window);
        if (frame && !this.closed) this.listener.frame(frame, this.now() - began);
      }
    } catch (error) {
      this.close();
      this.listener.failed(error);
    } finally {
      this.running = false;
    }
  }
}
