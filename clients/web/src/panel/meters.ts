// Live meters: voice, gesture energy, and the latencies over time.

import type { Frame, Hello, Latency, VoiceState } from "../protocol";
import { Energy, History } from "./measures";

const SPAN_S = 60;
const LATENCY_SPAN_S = 300;
const REDRAW_MS = 250;
const VOICES: Record<VoiceState, number> = { idle: 0, listening: 0.5, speaking: 1 };

interface Meter {
  history: History;
  /** Full height, at least. */
  scale: number;
  text(value: number): string;
  canvas: HTMLCanvasElement;
  value: HTMLElement;
}

export class Meters {
  private readonly energy = new Energy();
  private readonly meters: Record<"voice" | "energy" | "mic_to_wire" | "compute" | "visible", Meter>;
  private sampleRate = 16_000;
  private timer = 0;

  constructor(private readonly body: HTMLElement) {
    const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
    const state = (value: number): string =>
      value > 0.75 ? "speaking" : value > 0.25 ? "listening" : "idle";
    this.meters = {
      voice: this.meter("Voice, last minute", SPAN_S, 1, state),
      energy: this.meter("Gesture energy, last minute", SPAN_S, 60, (v) => `${v.toFixed(0)} °/s`),
      mic_to_wire: this.meter("Microphone to wire, 5 minutes", LATENCY_SPAN_S, 20, ms),
      compute: this.meter("Compute, 5 minutes", LATENCY_SPAN_S, 10, ms),
      visible: this.meter("Visible lag, 5 minutes", LATENCY_SPAN_S, 300, ms),
    };
  }

  begin({ bones, sampleRate, latency }: Hello): void {
    this.sampleRate = sampleRate;
    this.energy.begin(bones);
    this.latency(latency);
  }

  frame(frame: Frame, at: number): void {
    this.energy.push(frame, this.sampleRate);
    this.meters.voice.history.push(at, VOICES[frame.state]);
    this.meters.energy.history.push(at, this.energy.value);
  }

  latency(latency: Latency): void {
    const at = performance.now() / 1000;
    for (const key of ["mic_to_wire", "compute", "visible"] as const) {
      this.meters[key].history.push(at, latency[key]);
    }
  }

  /** Draw while somebody looks. */
  set shown(shown: boolean) {
    clearInterval(this.timer);
    if (shown) this.timer = window.setInterval(() => this.draw(), REDRAW_MS);
  }

  private meter(title: string, span: number, scale: number, text: (value: number) => string): Meter {
    const row = document.createElement("div");
    const label = document.createElement("span");
    const value = document.createElement("b");
    const canvas = document.createElement("canvas");
    row.className = "meter";
    label.textContent = title;
    value.textContent = "–";
    canvas.setAttribute("aria-hidden", "true"); // its last value stands beside it
    row.append(label, value, canvas);
    this.body.append(row);
    return { history: new History(span), scale, text, canvas, value };
  }

  private draw(): void {
    const now = performance.now() / 1000;
    for (const { history, scale, text, canvas, value } of Object.values(this.meters)) {
      value.textContent = Number.isNaN(history.last) ? "–" : text(history.last);
      const width = (canvas.width = canvas.clientWidth * devicePixelRatio);
      const height = (canvas.height = canvas.clientHeight * devicePixelRatio);
      const context = canvas.getContext("2d")!;
      const top = Math.max(scale, history.most);
      if (scale > 1) {
        // What the full height stands for, where it is a number.
        context.fillStyle = "rgba(170, 179, 200, 0.8)";
        context.font = `${9 * devicePixelRatio}px system-ui, sans-serif`;
        context.fillText(text(top), 4 * devicePixelRatio, 10 * devicePixelRatio);
      }
      context.strokeStyle = getComputedStyle(canvas).color;
      context.lineWidth = 1.5 * devicePixelRatio;
      context.beginPath();
      for (const point of history.points) {
        const x = (1 - (now - point.at) / history.span) * width;
        context.lineTo(x, height - 2 - (point.value / top) * (height - 4));
      }
      context.stroke();
    }
  }
}
