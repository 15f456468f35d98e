// One WebSocket to the engine that comes back by itself.

import { backoffMs } from "./backoff";
import {
  decodeFrame,
  decodeText,
  ProtocolError,
  PROTOCOL,
  readFrame,
  UPLOAD_CHUNK_BYTES,
  type Form,
  type Frame,
  type Hello,
  type StreamEvent,
} from "./protocol";

/** `refused`: the engine wants another token, and is left alone until `again`. */
export type Link = "connecting" | "open" | "waiting" | "refused";

export const WRONG_TOKEN = 4401;

export interface Listener {
  link(state: Link): void;
  hello(hello: Hello): void;
  frame(frame: Frame, at: number): void;
  event(event: StreamEvent): void;
  problem(message: string): void;
}

const SILENCE_MS = 12_000; // pings are answered: a socket this quiet is dead
const PING_MS = 4_000;
const BUFFERED_BYTES = 1 << 20;

export interface ConnectionOptions {
  /** How frames shall come; `bin` takes less of everything. */
  form?: Form;
  /** What frames shall carry: `positions`, `directions`, `face` (where there is one). */
  include?: readonly string[];
  /** What is said first on every connection: a token, a session's options. */
  hello?: () => Readonly<Record<string, unknown>>;
}

interface Pending {
  bytes: Uint8Array<ArrayBuffer>;
  done(): void;
  failed(error: Error): void;
}

export class Connection {
  private socket: WebSocket | null = null;
  private hello: Hello | null = null;
  private attempt = 0;
  private heard = 0;
  private pings = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private upload: Pending | null = null;

  /** url: `ws://HOST:PORT/v1/watch`, or `/v1/session` for a session of one's own. */
  constructor(
    private readonly url: string,
    private readonly listener: Listener,
    private readonly options: ConnectionOptions = {},
  ) {}

  /** Connect now, and again whenever the connection is lost. */
  start(): void {
    this.open();
    this.timer = setInterval(() => this.check(), PING_MS);
  }

  /** Try anew after a refusal. */
  again(): void {
    if (!this.socket) this.open();
  }

  /** Leave, and stay away. */
  stop(): void {
    clearInterval(this.timer);
    clearTimeout(this.retry);
    const { socket } = this;
    this.socket = null; // its close is no loss
    this.upload?.failed(new Error("the connection was closed during the upload"));
    this.upload = null;
    socket?.close();
  }

  /** Send audio of a session of one's own; false while there is none. */
  audio(message: ArrayBuffer): boolean {
    if (!this.hello || this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(message);
    return true;
  }

  /** Send a checked .vrm; resolves when the engine has taken it, rejects with its reason. */
  async send(name: string, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
    if (this.socket?.readyState !== WebSocket.OPEN) throw new Error("the engine is not connected");
    if (this.upload) throw new Error("another avatar is being uploaded");
    return new Promise((done, failed) => {
      this.upload = { bytes, done, failed };
      this.say({ type: "avatar", name, size: bytes.length, sha256 });
    });
  }

  /** Ask for other settings. */
  control(settings: Readonly<Record<string, string | number | boolean>>): void {
    this.say({ type: "control", settings });
  }

  /** Ask for another microphone or model; nothing asks what there is. */
  choose(choice: Readonly<Record<string, string | boolean | undefined>>): void {
    this.say({ type: "choose", ...choice });
  }

  private open(): void {
    clearTimeout(this.retry);
    this.listener.link("connecting");
    const socket = new WebSocket(this.url, `${PROTOCOL}.${this.options.form ?? "bin"}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    socket.onopen = () => {
      this.say({ type: "hello", protocol: PROTOCOL, ...this.options.hello?.() });
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
      if (this.socket !== socket) return; // left meanwhile
      const at = performance.now() / 1000;
      this.heard = performance.now();
      try {
        const { data } = message;
        if (typeof data === "string") this.text(data, at);
        else this.frame((hello) => decodeFrame(data, hello), at);
      } catch (error) {
        if (!(error instanceof ProtocolError || error instanceof SyntaxError)) throw error;
        this.listener.problem(error.message);
        socket.close(4000, "protocol error");
      }
    };
    socket.onclose = ({ code }) => this.lost(socket, code);
  }

  private lost(socket: WebSocket, code: number): void {
    if (this.socket !== socket) return;
    this.socket = null;
    this.hello = null;
    this.upload?.failed(new Error("the connection was lost during the upload"));
    this.upload = null;
    this.listener.link(code === WRONG_TOKEN ? "refused" : "waiting");
    if (code === WRONG_TOKEN) return;
    this.retry = setTimeout(() => this.open(), backoffMs(this.attempt++, Math.random));
  }

  private check(): void {
    const socket = this.socket;
    if (!socket) return;
    if (performance.now() - this.heard > SILENCE_MS) {
      // A dead peer never answers a close either: give the socket up.
      socket.close();
      this.lost(socket, 1006);
    } else if (socket.readyState === WebSocket.OPEN && this.hello) {
      this.say({ type: "ping", id: this.pings++ });
    }
  }

  private frame(read: (hello: Hello) => Frame, at: number): void {
    if (!this.hello) throw new ProtocolError("a frame came before the hello");
    const frame = read(this.hello);
    this.say({ type: "ack", seq: frame.seq });
    this.listener.frame(frame, at);
  }

  private text(text: string, at: number): void {
    const message = decodeText(text);
    switch (message.type) {
      case "hello":
        this.attempt = 0;
        this.hello = message.hello;
        this.listener.link("open");
        this.subscribe(message.hello);
        this.listener.hello(message.hello);
        break;
      case "frame":
        this.frame((hello) => readFrame(message.data, hello), at);
        break;
      case "event":
        this.listener.event(message.event);
        break;
      case "error":
        if (message.code !== WRONG_TOKEN) this.listener.problem(message.message);
        break;
      case "upload":
        void this.uploading(message.state, message.message);
        break;
      case "other":
        break;
    }
  }

  private subscribe({ face }: Hello): void {
    const include = (this.options.include ?? []).filter((name) => name !== "face" || face.length > 0);
    if (include.length > 0) this.say({ type: "subscribe", include });
  }

  private async uploading(state: "ready" | "done" | "refused", reason: string): Promise<void> {
    const { upload, socket } = this;
    if (!upload || !socket) return;
    if (state === "ready") {
      for (let at = 0; at < upload.bytes.length; at += UPLOAD_CHUNK_BYTES) {
        // Frames and their acknowledgements go on between the chunks.
        while (socket.bufferedAmount > BUFFERED_BYTES) await new Promise((go) => setTimeout(go, 10));
        if (this.upload !== upload || socket.readyState !== WebSocket.OPEN) return;
        socket.send(upload.bytes.subarray(at, at + UPLOAD_CHUNK_BYTES));
      }
      return;
    }
    this.upload = null;
    if (state === "done") upload.done();
    else upload.failed(new Error(reason));
  }

  private say(message: Record<string, unknown>): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
