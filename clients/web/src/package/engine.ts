// The engine itself, for any onnxruntime: samples and words in, frames out.

export { SAMPLE_RATE, FrameClock } from "../engine/frameClock";
export { BONES, PARENTS, restOffset } from "../engine/humanoid";
export { LiveStream, type LiveListener } from "../engine/live";
export { ArtifactError, readManifest, type ModelSpec, type TensorSpec } from "../engine/manifest";
export { Resampler } from "../engine/resampler";
export { Retargeter } from "../engine/retargeter";
export { Skeleton } from "../engine/skeleton";
export {
  StepRunner,
  type MakeTensor,
  type StepOutputs,
  type StepSession,
  type StepState,
  type TensorLike,
} from "../engine/stepRunner";
export {
  framesPerSecond,
  restPose,
  Stream,
  type EngineFrame,
  type StreamOptions,
} from "../engine/stream";
export { Windower, type Window } from "../engine/windower";
