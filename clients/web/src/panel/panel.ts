// The control room: everything that can be set while streaming. Plain elements,
// so that keyboards and screen readers know what to do with them.

import "./panel.css";
import type { Choices, Frame, Hello, Latency } from "../protocol";
import { type Choice, ChoicesView } from "./choices";
import {
  type Control,
  FITS,
  GROUPS,
  PROFILES,
  type Slider,
  spoken,
  TRIGGERS,
  type Value,
} from "./comfort";
import { button, labelled, make, select, tick } from "./elements";
import { Checks } from "./help";
import { Meters } from "./meters";
import { Wizard } from "./wizard";

export interface PanelActions {
  /** Ask the engine for other settings; none asks which are in effect. */
  control(settings: Record<string, Value>): void;
  /** Ask for another microphone or model; nothing asks what there is. */
  choose(choice: Choice): void;
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
  needsToken(): boolean;
}

export class Panel {
  readonly meters: Meters;
  private readonly root: HTMLElement;
  private readonly inputs = new Map<string, { row: HTMLElement; show(value: Value): void }>();
  private readonly comfort: HTMLElement;
  private readonly noComfort: HTMLElement;
  private readonly choices: ChoicesView;
  private readonly wizard: Wizard;
  private readonly checks = new Checks();
  private readonly microphone: HTMLInputElement;

  constructor(
    private readonly actions: PanelActions,
    state: PanelState,
  ) {
    this.root = document.getElementById("panel")!;
    const head = make("header");
    const close = button("Close", () => this.hide());
    head.append(make("h2", "Control room"), close);
    this.root.append(head);

    const voice = this.section("Voice and model", true);
    this.choices = new ChoicesView((choice) => actions.choose(choice));
    voice.append(this.choices.element);

    const meters = this.section("Meters", true);
    this.meters = new Meters(meters);

    this.comfort = this.section("Motion", true);
    this.noComfort = make("p", "This engine has no settings to change.");
    this.comfort.append(this.noComfort);
    for (const group of GROUPS) this.comfort.append(this.group(group.title, group.controls));
    this.comfort.append(this.buttons("Hands and body", "fit", FITS));
    this.comfort.append(this.buttons("Gesture now", "trigger", TRIGGERS));
    this.comfort.append(this.buttons("These settings", "profile", PROFILES));

    const view = this.section("Picture and captions", false);
    view.append(
      tick("Captions", state.captions, (on) => actions.captions(on)),
      tick("Mouth moves while the voice speaks", state.mouth, (on) => actions.mouth(on)),
    );

    const remote = this.section("Microphone of this browser", false);
    remote.append(
      make("p", "Send this browser's microphone to the engine and watch what it makes of it, in a session of your own. The engine must take sessions: gesture serve does."),
    );
    const row = tick("Use this browser's microphone", state.microphone, (on) => actions.microphone(on));
    this.microphone = row.querySelector("input")!;
    const alone = make("a", "Run the engine in this browser instead");
    alone.href = "local.html";
    remote.append(row, alone);

    this.wizard = new Wizard(() => state.needsToken());
    this.section("Set up OBS", false).append(this.wizard.element);
    this.section("When it does not move", false).append(this.checks.element);
    this.root.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the page's own keys are letters
      if (event.key === "Escape") this.hide();
    });
    this.showSettings({});
    this.showChoices(null);
  }

  get shown(): boolean {
    return !this.root.hidden;
  }

  show(): void {
    this.root.hidden = false;
    document.body.classList.add("room");
    this.watching = true;
    this.root.querySelector<HTMLElement>("summary")?.focus();
    this.actions.control({});
    this.actions.choose({});
  }

  hide(): void {
    this.root.hidden = true;
    document.body.classList.remove("room");
    this.watching = false;
    this.actions.closed();
  }

  begin(hello: Hello): void {
    this.meters.begin(hello);
    this.wizard.latency(hello.latency.visible);
  }

  frame(frame: Frame, at: number): void {
    this.meters.frame(frame, at);
    this.checks.frame(frame, at);
  }

  link(state: string): void {
    this.checks.link(state);
  }

  /** Pictures a second that this page draws. */
  screen(fps: number): void {
    this.checks.screen(fps);
  }

  /** What the engine can be switched to; null where it offers nothing. */
  showChoices(choices: Choices | null): void {
    this.choices.show(choices);
  }

  /** Why the engine refused something. */
  refuse(reason: string): void {
    this.choices.refuse(reason);
  }

  latency(latency: Latency): void {
    this.meters.latency(latency);
    this.wizard.latency(latency.visible);
  }

  /** Show what is in effect; a setting that the engine does not name is hidden. */
  showSettings(settings: Record<string, unknown>): void {
    this.checks.settings(settings);
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

  private set watching(on: boolean) {
    this.meters.shown = this.wizard.shown = this.checks.shown = on;
  }

  private section(title: string, open: boolean): HTMLElement {
    const details = make("details");
    details.open = open;
    details.append(make("summary", title));
    this.root.append(details);
    return details;
  }

  private group(title: string, controls: readonly Control[]): HTMLElement {
    const group = make("fieldset");
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
        const choice = select(control.options, change);
        const row = labelled(label, choice);
        this.inputs.set(name, { row, show: (value) => void (choice.value = String(value)) });
        return row;
      }
    }
  }

  private slider(control: Slider, change: (value: number) => void): HTMLElement {
    const input = make("input");
    input.type = "range";
    input.min = String(control.low);
    input.max = String(control.high);
    input.step = String(control.step);
    const value = make("output");
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
    const group = make("fieldset");
    group.append(make("legend", title));
    for (const [value, label] of values) {
      group.append(button(label, () => this.actions.control({ [command]: value })));
    }
    return group;
  }
}
