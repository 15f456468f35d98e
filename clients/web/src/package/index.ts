// The client for pages and programs of one's own: a stream, kept to the beat.

export { backoffMs } from "../backoff";
export { StreamClock } from "../clock";
export { Connection, WRONG_TOKEN, type ConnectionOptions, type Link, type Listener } from "../connection";
export { audioMessage, Pcm } from "../pcm";
export { Playback, type Mode } from "../playback";
export {
  decodeAvatar,
  decodeChoices,
  decodeFrame,
  decodeLatency,
  decodeText,
  PROTOCOL,
  ProtocolError,
  readFrame,
  type AvatarInfo,
  type Choices,
  type Form,
  type Frame,
  type Hello,
  type Latency,
  type StreamEvent,
  type TextMessage,
  type VoiceState,
} from "../protocol";
export { restPose } from "../rest";
export { blendPoses, copyPose, newPose, Timeline, type Pose, type Sampled } from "../timeline";
