// The engine in a worker: a slow step never makes the picture stutter.

import * as ort from "onnxruntime-web/wasm";
import { SAMPLE_RATE } from "../engine/frameClock";
import { BONES, PARENTS } from "../engine/humanoid";
import { LiveStream } from "../engine/live";
import { Face } from "../engine/mouth";
import { ArtifactError, readManifest, type ModelSpec } from "../engine/manifest";
import { Resampler } from "../engine/resampler";
import { StepRunner, type StepSession } from "../engine/stepRunner";
import { framesPerSecond, restPose, Stream, type StreamOptions } from "../engine/stream";
import type { Word } from "../engine/wordTimeline";
import { sha256 } from "../files";
import type { FromWorker, ToWorker } from "./messages";
import { Download } from "./download";

interface Model {
  spec: ModelSpec;
  runner: StepRunner;
  rest: Float32Array;
}

let model: Promise<Model> | null = null;
let live: LiveStream | null = null;
let face: Face | null = null;
let resampler: Resampler | null = null;

function say(message: FromWorker): void {
  postMessage(message);
}

async function load(runtime: string, folder: string): Promise<Model> {
  const download = new Download((loaded, total) => say({ type: "progress", loaded, total }));
  const manifest = download.json(new URL("manifest.json", folder).href);
  const graph = download.bytes(new URL("model.onnx", folder).href);
  const wasm = download.gunzipped(runtime);
  const spec = readManifest(await manifest);
  const bytes = await graph;
  await check(bytes, spec.files["model.onnx"]);
  ort.env.wasm.numThreads = 1; // more need a page that is isolated from other origins
  ort.env.wasm.wasmBinary = await wasm;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const runner = new StepRunner(
    spec,
    session as unknown as StepSession,
    (type, data, dims) => new ort.Tensor(type, data as Float32Array, dims),
  );
  const rest = await restPose(runner);
  say({
    type: "loaded",
    info: {
      model: spec.name,
      licence: spec.licence,
      fps: framesPerSecond(spec),
      lookahead: spec.defaultLookahead,
      bones: BONES,
      parents: PARENTS,
      bytes: download.received,
    },
  });
  return { spec, runner, rest };
}

async function check(bytes: Uint8Array<ArrayBuffer>, wanted: string | undefined): Promise<void> {
  // A plain http page that is not on this machine has no digests.
  if (!(crypto as Partial<Crypto>).subtle || (await sha256(bytes)) === wanted) return;
  throw new ArtifactError("model.onnx is not the file that its manifest describes; copy the whole folder");
}

function open({ runner, rest }: Model, words: Word[], options: StreamOptions): Stream {
  const stream = new Stream(runner, rest, options);
  for (const word of words) stream.windower.pushWord(word, word.end);
  return stream;
}

async function take(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "load":
      model = load(message.runtime, message.model);
      await model;
      break;
    case "start": {
      live?.close();
      const { session, rate, words, options } = message;
      const loaded = await needed();
      resampler = rate === SAMPLE_RATE ? null : new Resampler(rate);
      const mouth = (face = new Face(framesPerSecond(loaded.spec)));
      live = new LiveStream(open(loaded, words, options), loaded.spec, {
        frame: (frame, stepMs) => {
          const shown = { ...frame, face: Float32Array.from(mouth.vowels(frame.sample)) };
          say({ type: "frame", session, frame: shown, stepMs });
        },
        dropped: (frames) => say({ type: "dropped", frames }),
        failed,
      });
      break;
    }
    case "audio": {
      const samples = resampler ? resampler.push(message.samples) : message.samples;
      face?.hear(samples);
      live?.push(samples);
      break;
    }
    case "stop":
      live?.close();
      live = null;
      break;
    case "render": {
      const stream = open(await needed(), message.words, message.options);
      const frames = await stream.render(message.samples);
      say({ type: "rendered", frames: [...frames, ...(await stream.finish())] });
      break;
    }
  }
}

function needed(): Promise<Model> {
  if (!model) throw new Error("the model has not been loaded");
  return model;
}

function failed(error: unknown): void {
  say({ type: "failed", message: error instanceof Error ? error.message : String(error) });
}

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  take(data).catch(failed);
});
