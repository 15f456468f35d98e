// The little status card, captions and messages.

import type { Link } from "./connection";
import type { Hello, Latency, VoiceState } from "./protocol";

const TITLES: Record<VoiceState | Exclude<Link, "open">, string> = {
  speaking: "Speaking",
  listening: "Listening",
  idle: "Idle",
  connecting: "Connecting",
  waiting: "Waiting for the engine",
  refused: "Needs a token",
};
const TOAST_MS = 6000;
const CAPTION_MS = 3000;
const CAPTION_YIELD_MS = 6000;
const CAPTION_WORDS = 9;

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export class Hud {
  private readonly chip = element("chip");
  private readonly values = new Map<string, HTMLElement>();
  private words: { start: number; text: string; final: boolean }[] = [];
  private captionTimer = 0;
  /** Until then (ms) whole captions are shown, which hold the words already. */
  private captioned = 0;

  /** wired: the stream comes over a wire, whose latency is shown too. */
  constructor(wired: boolean) {
    const figures = element("figures");
    for (const [key, title] of [
      ["stream", "Stream"],
      ["screen", "Screen"],
      ["algorithmic", "Look-ahead"],
      ["compute", "Compute"],
      ["mic_to_wire", "Microphone to wire"],
    ] as const) {
      if (key === "mic_to_wire" && !wired) continue;
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = title;
      value.textContent = "–";
      figures.append(term, value);
      this.values.set(key, value);
    }
  }

  state(link: Link, voice: VoiceState): void {
    const state = link === "open" ? voice : link;
    if (this.chip.dataset["state"] === state) return;
    this.chip.dataset["state"] = state;
    this.chip.textContent = TITLES[state];
    element("waiting").hidden = link === "open" || link === "refused";
  }

  hello(hello: Hello): void {
    this.model(hello.model, hello.backend);
    element("model").title = `Gesture Streamer ${hello.version}`;
    this.latency(hello.latency);
  }

  /** Which model runs where. */
  model(name: string, backend: string): void {
    element("model").textContent = `${name} · ${backend}`;
  }

  latency(latency: Latency): void {
    this.figure("algorithmic", latency.algorithmic, "ms");
    this.figure("compute", latency.compute, "ms");
    this.figure("mic_to_wire", latency.mic_to_wire, "ms");
    element("delay").hidden = !Number.isFinite(latency.visible);
    element("visible").textContent = `${Math.round(latency.visible)} ms`;
  }

  rates(stream: number, screen: number): void {
    this.figure("stream", stream, "fps");
    this.figure("screen", screen, "fps");
  }

  /** Show a word; a revision replaces the word that began at the same sample. */
  word(text: string, start: number, final: boolean): void {
    if (performance.now() < this.captioned) return;
    this.words = this.words.filter((word) => word.start < start);
    this.words.push({ start, text, final });
    this.words = this.words.slice(-CAPTION_WORDS);
    const caption = element("caption");
    caption.replaceChildren(
      ...this.words.map((word) => {
        const span = document.createElement("span");
        span.textContent = `${word.text} `;
        span.classList.toggle("interim", !word.final);
        return span;
      }),
    );
    this.showCaption(caption);
  }

  /** Show a whole line. */
  caption(text: string): void {
    this.captioned = performance.now() + CAPTION_YIELD_MS;
    const caption = element("caption");
    caption.textContent = text;
    this.showCaption(caption);
  }

  /** Say something to the person in front of the page. */
  toast(text: string, kind: "info" | "error" = "info"): void {
    const toast = document.createElement("p");
    toast.className = `toast ${kind}`;
    toast.style.margin = "0";
    toast.textContent = text;
    const toasts = element("toasts");
    if ([...toasts.children].some((other) => other.textContent === text)) return;
    toasts.append(toast);
    setTimeout(() => toast.remove(), TOAST_MS);
  }

  private showCaption(caption: HTMLElement): void {
    caption.classList.add("shown");
    clearTimeout(this.captionTimer);
    this.captionTimer = window.setTimeout(() => {
      caption.classList.remove("shown");
      this.words = [];
    }, CAPTION_MS);
  }

  /** Show a number of the status card. */
  figure(key: string, value: number, unit: string): void {
    const target = this.values.get(key);
    if (!target) return;
    const digits = value < 10 ? 1 : 0;
    target.textContent = Number.isFinite(value) ? `${value.toFixed(digits)} ${unit}` : "–";
  }
}
