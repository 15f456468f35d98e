// Which microphone and which model the engine uses; both change while it runs.

import type { Choices } from "../protocol";
import { button, labelled, make, select } from "./elements";

export interface Choice {
  device?: string;
  model?: string;
  rescan?: boolean;
}

/** The section's content. Hidden until an engine says what there is. */
export class ChoicesView {
  readonly element = make("div");
  private readonly source = make("p");
  private readonly device: HTMLSelectElement;
  private readonly model: HTMLSelectElement;
  private readonly deviceRow: HTMLElement;
  private readonly rescan: HTMLButtonElement;
  private readonly status = make("p");
  private choices: Choices | null = null;
  private wanted = "";

  constructor(private readonly choose: (choice: Choice) => void) {
    this.device = select([], (id) => this.change({ device: id }, this.device));
    this.model = select([], (id) => this.change({ model: id }, this.model));
    this.rescan = button("Look for new microphones", () => this.change({ rescan: true }, this.rescan));
    this.deviceRow = labelled("Microphone", this.device);
    this.status.setAttribute("role", "status");
    this.status.className = "note";
    this.source.className = "note";
    this.element.append(this.deviceRow, this.rescan, this.source, labelled("Model", this.model), this.status);
    this.show(null);
  }

  /** What there is; null where the engine offers no choice. */
  show(choices: Choices | null): void {
    this.choices = choices;
    const { device, model } = this;
    device.disabled = model.disabled = this.rescan.disabled = choices === null;
    this.element.classList.toggle("empty", choices === null);
    if (!choices) {
      this.source.textContent = "This stream offers no choice of microphone or model.";
      this.source.hidden = false;
      return;
    }
    const recording = choices.devices.length > 0;
    this.deviceRow.hidden = this.rescan.hidden = !recording;
    this.source.hidden = recording;
    this.source.textContent = `The voice comes from ${choices.source}. Start gesture live without --source to choose a microphone here.`;
    const devices = choices.devices.map(({ id, name, isDefault }) => [id, isDefault ? `${name} (default)` : name] as const);
    fill(device, devices, choices.device);
    fill(model, choices.models.map(({ id, name }) => [id, name] as const), choices.model);
    if (this.wanted) {
      const now = this.wanted === "model" ? choices.model : choices.device;
      this.say(this.refused || (this.wanted === "rescan" ? found(devices.length) : `Now: ${now}.`));
      this.wanted = this.refused = "";
    }
  }

  private refused = "";

  /** Why a change was refused; what is in use comes after it. */
  refuse(reason: string): void {
    if (!this.wanted) return;
    this.refused = `${sentence(reason)} ${this.choices ? "The old one goes on." : ""}`;
    this.say(this.refused);
  }

  private change(choice: Choice, control: HTMLElement): void {
    this.wanted = choice.model !== undefined ? "model" : choice.rescan ? "rescan" : "device";
    this.say(choice.model !== undefined ? "Loading the model; the old one goes on until it runs…" : "One moment…");
    this.device.disabled = this.model.disabled = this.rescan.disabled = true;
    control.classList.add("busy");
    setTimeout(() => control.classList.remove("busy"), 1000);
    this.choose(choice);
  }

  private say(text: string): void {
    this.status.textContent = text;
  }
}

function fill(element: HTMLSelectElement, options: readonly (readonly [string, string])[], value: string): void {
  const same = [...element.options].map((o) => `${o.value} ${o.text}`).join() === options.map((o) => o.join(" ")).join();
  if (!same) element.replaceChildren(...options.map(([id, text]) => new Option(text, id)));
  element.value = value;
}

function found(count: number): string {
  return count === 1 ? "There is one microphone." : `There are ${count} microphones.`;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (trimmed.endsWith(".") ? "" : ".");
}
