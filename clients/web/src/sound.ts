// Where the voice comes from: the microphone, or a recording that is played.

import workletUrl from "./capture.worklet.ts?worker&url";

/** What a person may be told about a source that does not work. */
export class SoundError extends Error {}

/** Hands over mono audio of one source at a time; `rate` is the sound card's. */
export class Sound {
  private context: AudioContext | null = null;
  private capture: AudioWorkletNode | null = null;
  private stopSource: (() => void) | null = null;

  constructor(private readonly heard: (samples: Float32Array) => void) {}

  get rate(): number {
    return this.context?.sampleRate ?? 0;
  }

  /** Whether a source is in use. */
  get active(): boolean {
    return this.stopSource !== null;
  }

  /** Prepare the sound card; call it from a click, or browsers keep it silent. */
  async open(): Promise<AudioContext> {
    if (!this.context) {
      if (typeof AudioWorkletNode === "undefined") {
        throw new SoundError("Sound needs https, or a page on this machine.");
      }
      const context = new AudioContext({ latencyHint: "interactive" });
      await context.audioWorklet.addModule(workletUrl);
      this.capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 1 });
      this.capture.port.onmessage = ({ data }: MessageEvent<Float32Array>) => this.heard(data);
      this.capture.connect(context.destination); // silent; it runs only when connected
      this.context = context;
    }
    await this.context.resume();
    return this.context;
  }

  async microphone(device?: string): Promise<void> {
    const context = await this.open();
    const media = navigator.mediaDevices as MediaDevices | undefined;
    if (!media) throw new SoundError("The microphone needs https, or a page on this machine.");
    let stream: MediaStream;
    try {
      stream = await media.getUserMedia({
        audio: {
          echoCancellation: false,
          autoGainControl: true,
          noiseSuppression: true,
          ...(device ? { deviceId: { exact: device } } : {}),
        },
      });
    } catch (error) {
      throw new SoundError(refusal(error));
    }
    this.stop();
    const source = context.createMediaStreamSource(stream);
    source.connect(this.capture!);
    this.stopSource = () => {
      source.disconnect();
      for (const track of stream.getTracks()) track.stop();
    };
  }

  /** Decode a recording of any kind that the browser knows. */
  async decode(bytes: ArrayBuffer): Promise<AudioBuffer> {
    const context = await this.open();
    try {
      return await context.decodeAudioData(bytes);
    } catch {
      throw new SoundError("This file holds no sound that this browser can read.");
    }
  }

  /** Play a recording, heard `delay` seconds after the engine hears it. */
  async play(recording: AudioBuffer, delay: number, ended: () => void): Promise<void> {
    const context = await this.open();
    this.stop();
    const source = new AudioBufferSourceNode(context, { buffer: recording });
    const later = new DelayNode(context, { delayTime: delay, maxDelayTime: 2 });
    source.connect(this.capture!);
    source.connect(later).connect(context.destination);
    source.onended = () => {
      setTimeout(() => later.disconnect(), delay * 1000 + 200);
      ended();
    };
    this.stopSource = () => {
      source.onended = null;
      source.stop();
      source.disconnect();
      later.disconnect();
    };
    source.start();
  }

  /** No more audio comes from the source. */
  stop(): void {
    this.stopSource?.();
    this.stopSource = null;
  }
}

function refusal(error: unknown): string {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
      return "The browser was not allowed to use the microphone: allow it beside the address.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found.";
    default:
      return `The microphone cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
}
