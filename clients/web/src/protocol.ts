// The engine's stream as clients see it; `clients/PROTOCOL.md` describes it.

export const PROTOCOL = "gesture.v1";
/** How frames come: as bytes, or as JSON text. */
export type Form = "bin" | "json";
export const MAX_AVATAR_BYTES = 100 * 1024 * 1024;
export const UPLOAD_CHUNK_BYTES = 192 * 1024;

export type VoiceState = "idle" | "listening" | "speaking";

export interface AvatarInfo {
  name: string;
  sha256: string;
  url: string;
  custom: boolean;
}

export interface Latency {
  algorithmic: number;
  compute: number;
  mic_to_wire: number;
  visible: number;
}

export interface Hello {
  version: string;
  session: string;
  model: string;
  backend: string;
  fps: number;
  sampleRate: number;
  bones: string[];
  parents: number[];
  joints: string[];
  directions: string[];
  /** Expressions that frames carry to who subscribes to them. */
  face: string[];
  latency: Latency;
  avatar: AvatarInfo | null;
}

/** One pose: xyzw rotations of every bone in a row, hips offset in metres. */
export interface Frame {
  seq: number;
  index: number;
  sample: number;
  state: VoiceState;
  reset: boolean;
  root: Float32Array;
  rotations: Float32Array;
  /** What was subscribed to. Joints in metres, unit vectors, [3] each. */
  positions?: Float32Array;
  directions?: Float32Array;
  /** Mouth and lids, 0..1, in the order of the hello's `face`. */
  face?: Float32Array;
}

export interface StreamEvent {
  kind: string;
  sample: number;
  data: Record<string, unknown>;
}

/** What a running stream may be switched to, and what is in use. */
export interface Choices {
  source: string;
  device: string;
  devices: { id: string; name: string; isDefault: boolean }[];
  model: string;
  backend: string;
  models: { id: string; name: string }[];
}

export type TextMessage =
  | { type: "hello"; hello: Hello }
  | { type: "event"; event: StreamEvent }
  | { type: "upload"; state: "ready" | "done" | "refused"; received: number; message: string }
  | { type: "error"; code: number; message: string }
  | { type: "frame"; data: Record<string, unknown> }
  | { type: "other" };

export class ProtocolError extends Error {}

const HEADER_BYTES = 36;
const MAGIC = 0x46545347; // "GSTF", little-endian
const STATES: readonly VoiceState[] = ["idle", "listening", "speaking"];
const RESET = 1;
const POSITIONS = 2;
const DIRECTIONS = 4;
const FACE = 8;

/** Read a binary frame of a stream that `hello` announced. */
export function decodeFrame(data: ArrayBuffer, hello: Hello): Frame {
  if (data.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`frame of ${data.byteLength} bytes, its header has ${HEADER_BYTES}`);
  }
  const view = new DataView(data);
  if (view.getUint32(0, true) !== MAGIC || view.getUint8(4) !== 1) {
    throw new ProtocolError("binary message is no GSTF 1 frame");
  }
  const flags = view.getUint8(5);
  const state = STATES[view.getUint8(6)];
  if (state === undefined) throw new ProtocolError(`voice state ${view.getUint8(6)}`);
  const parts: [PartName, number][] = [["rotations", hello.bones.length * 4]];
  if (flags & POSITIONS) parts.push(["positions", hello.joints.length * 3]);
  if (flags & DIRECTIONS) parts.push(["directions", hello.directions.length * 3]);
  if (flags & FACE) parts.push(["face", hello.face.length]);
  const values = parts.reduce((sum, [, count]) => sum + count, 0);
  if (data.byteLength !== HEADER_BYTES + 4 * values) {
    throw new ProtocolError(
      `frame of ${data.byteLength} bytes, its flags and hello say ${HEADER_BYTES + 4 * values}`,
    );
  }
  const frame: Frame = {
    state,
    reset: (flags & RESET) !== 0,
    seq: view.getUint32(8, true),
    index: view.getUint32(12, true),
    sample: Number(view.getBigUint64(16, true)),
    root: floats(view, 24, 3),
    rotations: new Float32Array(0),
  };
  let at = HEADER_BYTES;
  for (const [name, count] of parts) {
    frame[name] = floats(view, at, count);
    at += 4 * count;
  }
  return finite(frame);
}

/** Read a frame that came as text, of a stream that `hello` announced. */
export function readFrame(data: Record<string, unknown>, hello: Hello): Frame {
  const state = STATES.find((name) => name === data["state"]);
  if (state === undefined) throw new ProtocolError(`voice state ${String(data["state"])}`);
  const frame: Frame = {
    state,
    reset: data["reset"] === true,
    seq: Number(data["seq"]),
    index: Number(data["index"]),
    sample: Number(data["sample"]),
    root: array(data, "root", 3),
    rotations: array(data, "rotations", hello.bones.length * 4),
  };
  if ("positions" in data) frame.positions = array(data, "positions", hello.joints.length * 3);
  if ("directions" in data) frame.directions = array(data, "directions", hello.directions.length * 3);
  if ("face" in data) frame.face = array(data, "face", hello.face.length);
  if (![frame.seq, frame.index, frame.sample].every(Number.isSafeInteger)) {
    throw new ProtocolError("frame without seq, index or sample");
  }
  return finite(frame);
}

type PartName = "rotations" | "positions" | "directions" | "face";

function finite(frame: Frame): Frame {
  for (const part of [frame.root, frame.rotations, frame.positions, frame.directions, frame.face]) {
    if (part && !part.every(Number.isFinite)) throw new ProtocolError(`frame ${frame.index} is not finite`);
  }
  return frame;
}

function array(data: Record<string, unknown>, key: string, count: number): Float32Array {
  const value = data[key];
  if (!Array.isArray(value) || value.length !== count) {
    throw new ProtocolError(`frame: ${key} has ${Array.isArray(value) ? value.length : "no"} numbers, the hello says ${count}`);
  }
  return Float32Array.from(value, Number);
}

/** Read a text message; unknown types are `other`, so that newer engines work. */
export function decodeText(text: string): TextMessage {
  const message: unknown = JSON.parse(text);
  if (!isRecord(message)) throw new ProtocolError("message is not a JSON object");
  switch (message["type"]) {
    case "hello":
      return { type: "hello", hello: decodeHello(message) };
    case "event": {
      const { type: _, event, sample, ...data } = message;
      return { type: "event", event: { kind: String(event), sample: Number(sample), data } };
    }
    case "upload": {
      const state = message["state"];
      if (state !== "ready" && state !== "done" && state !== "refused") {
        throw new ProtocolError(`upload state ${String(state)}`);
      }
      const received = Number(message["received"]);
      return { type: "upload", state, received, message: String(message["message"] ?? "") };
    }
    case "error":
      return {
        type: "error",
        code: Number(message["code"]),
        message: String(message["message"] ?? ""),
      };
    case "frame":
      return { type: "frame", data: message };
    default:
      return { type: "other" };
  }
}

/** Read what a hello or an `avatar` event says of the avatar; null if it says nothing. */
export function decodeAvatar(value: unknown): AvatarInfo | null {
  if (!isRecord(value) || typeof value["url"] !== "string") return null;
  return {
    name: String(value["name"] ?? "avatar"),
    sha256: String(value["sha256"] ?? value["url"]),
    url: value["url"],
    custom: value["custom"] === true,
  };
}

/**
 * Read latencies in ms, of a hello (`compute`) or a `latency` event (`compute_ms`);
 * what is missing stays as in `last`.
 */
export function decodeLatency(value: unknown, last: Latency): Latency {
  const source = isRecord(value) ? value : {};
  const pick = (key: keyof Latency): number => {
    const entry = source[key] ?? source[`${key}_ms`];
    return typeof entry === "number" && Number.isFinite(entry) ? entry : last[key];
  };
  return {
    algorithmic: pick("algorithmic"),
    compute: pick("compute"),
    mic_to_wire: pick("mic_to_wire"),
    visible: pick("visible"),
  };
}

/** Read the data of a `choices` event. */
export function decodeChoices(data: Record<string, unknown>): Choices {
  const rows = (key: string): Record<string, unknown>[] => {
    const value = data[key];
    return Array.isArray(value) ? value.filter(isRecord) : [];
  };
  return {
    source: String(data["source"] ?? ""),
    device: String(data["device"] ?? ""),
    devices: rows("devices").map((row) => ({
      id: String(row["id"]),
      name: String(row["name"]),
      isDefault: row["default"] === true,
    })),
    model: String(data["model"] ?? ""),
    backend: String(data["backend"] ?? ""),
    models: rows("models").map((row) => ({ id: String(row["id"]), name: String(row["name"]) })),
  };
}

function decodeHello(message: Record<string, unknown>): Hello {
  if (message["protocol"] !== PROTOCOL) {
    throw new ProtocolError(
      `the engine speaks ${String(message["protocol"])}, this page ${PROTOCOL}; reload the page`,
    );
  }
  const fps = Number(message["fps"]);
  const sampleRate = Number(message["sample_rate"]);
  const bones = names(message["bones"]);
  if (!(fps > 0) || !(sampleRate > 0) || bones.length === 0) {
    throw new ProtocolError("hello without fps, sample rate or bones");
  }
  const unknown = { algorithmic: NaN, compute: NaN, mic_to_wire: NaN, visible: NaN };
  return {
    version: String(message["version"]),
    session: String(message["session"]),
    model: String(message["model"]),
    backend: String(message["backend"]),
    fps,
    sampleRate,
    bones,
    parents: numbers(message["parents"]),
    joints: names(message["joints"]),
    directions: names(message["directions"]),
    face: names(message["face"]),
    latency: decodeLatency(message["latency_ms"], unknown),
    avatar: decodeAvatar(message["avatar"]),
  };
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function floats(view: DataView, offset: number, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = view.getFloat32(offset + 4 * i, true);
  return values;
}
