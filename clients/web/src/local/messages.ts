// What the page and its engine worker say to each other.

import type { EngineFrame, StreamOptions } from "../engine/stream";
import type { Word } from "../engine/wordTimeline";

/** From the page. Audio is mono at the rate that `start` named. */
export type ToWorker =
  | { type: "load"; runtime: string; model: string }
  | { type: "start"; session: number; rate: number; words: Word[]; options: StreamOptions }
  | { type: "audio"; samples: Float32Array }
  | { type: "stop" }
  | { type: "render"; samples: Float32Array; words: Word[]; options: StreamOptions };

/** What the page must know of the model. */
export interface Loaded {
  model: string;
  licence: string;
  fps: number;
  lookahead: number;
  bones: readonly string[];
  parents: readonly number[];
  bytes: number;
}

/** A frame with the vowels of its mouth. */
export type FacedFrame = EngineFrame & { face: Float32Array };

/** From the worker. */
export type FromWorker =
  | { type: "progress"; loaded: number; total: number }
  | { type: "loaded"; info: Loaded }
  | { type: "frame"; session: number; frame: FacedFrame; stepMs: number }
  | { type: "dropped"; frames: number }
  | { type: "rendered"; frames: EngineFrame[] }
  | { type: "failed"; message: string };
