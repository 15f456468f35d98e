// The control room: everything that can be set while streaming. Plain elements,
// so that keyboards and screen readers know what to do with them.

import "./panel.css";
import type { Frame, Hello, Latency } from "../protocol";
import {
  type Control,
  GROUPS,
  PROFILES,
  type Slider,
  spoken,
  TRIGGERS,
  type Value,
} from "./comfort";
import { connectionHelp, obsSteps } from "./help";
import { Meters } from "./meters";

export interface PanelActions {
  /** Ask the engine for other settings; none asks which are in effect. */
  control(settings: Record<string, Value>): void;
  captions(shown: boolean): void;
  mouth(moves: boolean): void;
  /** Drive an engine with this browser's microphone, or watch its own again. */
  microphone(on: boolean): void;
  closed(): void;
}

export interface PanelState {
  captions: boolean;
  mouth: boolean;
  microphone: boolean;
}

export class Panel {
  readonly meters: Meters;
  private readonly root: HTMLElement;
  private readonly inputs = new Map<string, { row: HTMLElement; show(value: Value): void }>();
  private readonly comfort: HTMLElement;
  private readonly noComfort: HTMLElement;
  private readonly obs: HTMLElement;
  private readonly microphone: HTMLInputElement;

  constructor(
    private readonly actions: PanelActions,
    state: PanelState,
  ) {
    this.root = document.getElementById("panel")!;
    const close = button("Close", () => this.hide());
    close.className = "close";
    this.root.append(make("h2", "Control room"), close);

    const meters = this.section("Meters", true);
    this.meters = new Meters(meters);

    const view = this.section("Picture and captions", false);
    view.append(
      tick("Captions", state.captions, (on) => actions.captions(on)),
      tick("Mouth moves while the voice speaks", state.mouth, (on) => actions.mouth(on)),
    );

    this.comfort = this.section("Motion", true);
    this.noComfort = make("p", "This engine has no settings to change.");
    this.comfort.append(this.noComfort);
    for (const group of GROUPS) this.comfort.append(this.group(group.title, group.controls));
    this.comfort.append(this.buttons("Gesture now", "trigger", TRIGGERS));
    this.comfort.append(this.buttons("These settings", "profile", PROFILES));

    const remote = this.section("Microphone of this browser", false);
    remote.append(
      make("p", "Send this browser's microphone to the engine and watch what it makes of it, in a session of your own. The engine must take sessions: gesture serve does."),
    );
    const row = tick("Use this browser's microphone", state.microphone, (on) => actions.microphone(on));
    this.microphone = row.querySelector("input")!;
    const alone = document.createElement("a");
    alone.href = "local.html";
    alone.textContent = "Run the engine in this browser instead";
    remote.append(row, alone);

    this.obs = this.section("Set up OBS", false);
    this.section("When it does not move", false).append(connectionHelp());
    this.root.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the page's own keys are letters
      if (event.key === "Escape") this.hide();
    });
    this.showSettings({});
  }

  get shown(): boolean {
    return !this.root.hidden;
  }

  show(): void {
    this.root.hidden = false;
    this.meters.shown = true;
    this.root.querySelector<HTMLElement>("summary")?.focus();
    this.actions.control({});
  }

  hide(): void {
    this.root.hidden = true;
    this.meters.shown = false;
    this.actions.closed();
  }

  begin(hello: Hello): void {
    this.meters.begin(hello);
    this.showLatency(hello.latency);
  }

  frame(frame: Frame, at: number): void {
    this.meters.frame(frame, at);
  }

  latency(latency: Latency): void {
    this.meters.latency(latency);
    this.showLatency(latency);
  }

  /** Show what is in effect; a setting that the engine does not name is hidden. */
  showSettings(settings: Record<string, unknown>): void {
    const known = Object.keys(settings).some((name) => this.inputs.has(name));
    this.noComfort.hidden = known;
    for (const group of this.comfort.querySelectorAll("fieldset")) group.hidden = !known;
    for (const [name, { row, show }] of this.inputs) {
      const value = settings[name];
      row.hidden = value === undefined;
      if (value !== undefined) show(value as Value);
    }
  }

  /** Whether the microphone is in use after all. */
  set usesMicrophone(on: boolean) {
    this.microphone.checked = on;
  }

  private showLatency(latency: Latency): void {
    this.obs.replaceChildren(this.obs.firstElementChild!, obsSteps(latency.visible));
  }

  private section(title: string, open: boolean): HTMLElement {
    const details = document.createElement("details");
    details.open = open;
    details.append(make("summary", title));
    this.root.append(details);
    return details;
  }

  private group(title: string, controls: readonly Control[]): HTMLElement {
    const group = document.createElement("fieldset");
    group.append(make("legend", title));
    for (const control of controls) group.append(this.input(control));
    return group;
  }

  private input(control: Control): HTMLElement {
    const { name, label } = control;
    const change = (value: Value): void => this.actions.control({ [name]: value });
    switch (control.kind) {
      case "slider":
        return this.slider(control, change);
      case "switch": {
        const row = tick(label, false, change);
        const input = row.querySelector("input")!;
        this.inputs.set(name, { row, show: (value) => void (input.checked = value === true) });
        return row;
      }
      case "choice": {
        const select = document.createElement("select");
        for (const [value, title] of control.options) select.add(new Option(title, value));
        select.addEventListener("change", () => change(select.value));
        const row = labelled(label, select);
        this.inputs.set(name, { row, show: (value) => void (select.value = String(value)) });
        return row;
      }
    }
  }

  private slider(control: Slider, change: (value: number) => void): HTMLElement {
    const input = document.createElement("input");
    input.type = "range";
    input.min = String(control.low);
    input.max = String(control.high);
    input.step = String(control.step);
    const value = document.createElement("output");
    const say = (): void => {
      value.textContent = spoken(control, input.valueAsNumber);
      input.setAttribute("aria-valuetext", value.textContent);
    };
    let held = 0; // at most ten changes a second on their way
    input.addEventListener("input", () => {
      say();
      held ||= window.setTimeout(() => {
        held = 0;
        change(input.valueAsNumber);
      }, 100);
    });
    const row = labelled(control.label, input, value);
    this.inputs.set(control.name, {
      row,
      show: (now) => {
        if (held) return; // being moved
        input.valueAsNumber = Number(now);
        say();
      },
    });
    return row;
  }

  private buttons(
    title: string,
    command: string,
    values: readonly (readonly [string, string])[],
  ): HTMLElement {
    const group = document.createElement("fieldset");
    group.append(make("legend", title));
    for (const [value, label] of values) {
      group.append(button(label, () => this.actions.control({ [command]: value })));
    }
    return group;
  }
}

function make(tag: string, text: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function button(text: string, act: () => void): HTMLButtonElement {
  const element = make("button", text) as HTMLButtonElement;
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

function labelled(text: string, ...parts: HTMLElement[]): HTMLLabelElement {
  const label = document.createElement("label");
  label.append(make("span", text), ...parts);
  return label;
}

function tick(text: string, on: boolean, change: (on: boolean) => void): HTMLLabelElement {
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = on;
  input.addEventListener("change", () => change(input.checked));
  const label = document.createElement("label");
  label.className = "tick";
  label.append(input, make("span", text));
  return label;
}
