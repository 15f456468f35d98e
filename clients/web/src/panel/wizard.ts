// OBS, step by step: the address is put together, copied, and seen to work.

import { PRESETS } from "../stage";
import { button, copyButton, labelled, make, prose, select, tick } from "./elements";

const FRAMINGS = { upper: "Upper body", bust: "Head and shoulders", full: "Whole body", side: "From the side" };
const LOOK_MS = 2000;
const CORRECTION = "gesture-delay-correction";

/** What the overlay's address shall ask for; the rest is as by default. */
export interface Scene {
  camera: string;
  captions: boolean;
  mouth: boolean;
}

/** The address for OBS's browser source. */
export function sceneUrl(page: string, { camera, captions, mouth }: Scene): string {
  const url = new URL(page);
  url.hash = url.search = "";
  url.searchParams.set("transparent", "1");
  if (camera !== "upper") url.searchParams.set("camera", camera);
  if (captions) url.searchParams.set("captions", "1");
  if (!mouth) url.searchParams.set("mouth", "0");
  return url.href;
}

/** What to enter as OBS's sync offset; NaN while it is unknown. */
export function syncOffset(visible: number, correction: number): number {
  return Math.max(0, Math.round(visible + correction));
}

export class Wizard {
  readonly element = make("div");
  private readonly title = make("h3");
  private readonly body = make("div");
  private readonly back = button("Back", () => this.go(this.at - 1));
  private readonly next = button("Next", () => this.go(this.at + 1));
  private readonly seen = make("p");
  private readonly offset = make("b");
  private readonly scene: Scene = { camera: "upper", captions: false, mouth: true };
  private readonly steps: readonly (readonly [string, () => HTMLElement[]])[];
  private visible = NaN;
  private correction = remembered();
  private at = 0;
  private timer = 0;

  /** needsToken: other programs must be told the token once. */
  constructor(private readonly needsToken: () => boolean) {
    this.element.className = "wizard";
    this.title.tabIndex = -1;
    this.seen.setAttribute("role", "status");
    const buttons = make("div");
    buttons.className = "row";
    buttons.append(this.back, this.next);
    this.element.append(this.title, this.body, buttons);
    this.steps = [
      ["What shall be seen", () => this.chooseScene()],
      ["The picture", () => this.addSource()],
      ["The voice", () => this.setOffset()],
      ["Clap", () => this.clap()],
      ["Done", () => this.done()],
    ];
    this.draw();
  }

  /** The measured lag of motion behind voice, ms. */
  latency(visible: number): void {
    this.visible = visible;
    this.showOffset();
  }

  /** Look whether OBS is there, while somebody reads this. */
  set shown(shown: boolean) {
    clearInterval(this.timer);
    if (shown) this.timer = window.setInterval(() => void this.look(), LOOK_MS);
  }

  private go(step: number): void {
    this.at = Math.min(Math.max(step, 0), this.steps.length - 1);
    this.draw();
    this.title.focus(); // read aloud, and where the next Tab begins
  }

  private draw(): void {
    const [title, content] = this.steps[this.at]!;
    this.title.textContent = `${this.at + 1} of ${this.steps.length}: ${title}`;
    this.body.replaceChildren(...content());
    this.back.disabled = this.at === 0;
    this.next.disabled = this.at === this.steps.length - 1;
  }

  private get url(): string {
    return sceneUrl(location.href, this.scene);
  }

  private chooseScene(): HTMLElement[] {
    const { scene } = this;
    const camera = select(PRESETS.map((name) => [name, FRAMINGS[name]]), (value) => (scene.camera = value));
    camera.value = scene.camera;
    return [
      labelled("Framing", camera),
      tick("Captions", scene.captions, (on) => (scene.captions = on)),
      tick("The mouth moves", scene.mouth, (on) => (scene.mouth = on)),
      prose("A face tracker of your own moves the mouth better: leave it out then."),
    ];
  }

  private addSource(): HTMLElement[] {
    const steps = make("ol");
    for (const text of [
      "In OBS press + under Sources and take Browser.",
      "Paste the address below as its URL.",
      "Width and height: those of your canvas, mostly 1920 and 1080.",
      "Tick “Use custom frame rate” and enter 60. Leave the custom CSS as it is.",
    ]) {
      const item = make("li", text);
      steps.append(item);
    }
    const address = make("p");
    address.append(make("code", this.url), " ", copyButton("Copy the address", () => this.url));
    const parts: HTMLElement[] = [steps, address, this.seen];
    if (this.needsToken()) {
      parts.push(prose("This engine wants its token there too, once: right-click the source, Interact, and enter it."));
    }
    void this.look();
    return parts;
  }

  private setOffset(): HTMLElement[] {
    const line = make("p");
    line.append("Sync Offset of your microphone: ", this.offset, " ", copyButton("Copy", () => this.offset.textContent!.replace(/\D/g, "")));
    this.showOffset();
    return [
      prose("The hands come a little after the voice, always by the same time. OBS can wait as long with the sound."),
      prose("In OBS's mixer click the gear beside your microphone, then Advanced Audio Properties."),
      line,
    ];
  }

  private clap(): HTMLElement[] {
    const input = make("input");
    input.type = "range";
    input.min = "-200";
    input.max = "200";
    input.step = "10";
    input.valueAsNumber = this.correction;
    const value = make("output");
    const say = (): void => {
      value.textContent = `${this.correction > 0 ? "+" : ""}${this.correction} ms`;
      input.setAttribute("aria-valuetext", value.textContent);
      this.showOffset();
    };
    input.addEventListener("input", () => {
      this.correction = input.valueAsNumber;
      remember(this.correction);
      say();
    });
    say();
    const line = make("p");
    line.append("Sync Offset to enter now: ", this.offset);
    return [
      prose("Record a few seconds in OBS in which you say “one, two, three” with a stress on each, and look at it."),
      prose("Hands before the voice: move to the left. Hands after it: to the right. Enter the new offset and try again."),
      labelled("Correction", input, value),
      line,
    ];
  }

  private done(): HTMLElement[] {
    return [
      prose("Start the engine before OBS or after it: the page waits and comes back by itself."),
      prose("The offset stays the same for a model and a look-ahead. Change one of them and come back to step 3."),
      this.seen,
    ];
  }

  private showOffset(): void {
    const ms = syncOffset(this.visible, this.correction);
    this.offset.textContent = Number.isNaN(ms) ? "not measured yet" : `${ms} ms`;
  }

  /** How many pages watch, this one included, the engine tells anybody. */
  private async look(): Promise<void> {
    const answer = await fetch("readyz", { cache: "no-store" }).catch(() => null);
    const state: unknown = await answer?.json().catch(() => null);
    const viewers = typeof state === "object" && state !== null && "viewers" in state ? Number(state.viewers) : NaN;
    const text = Number.isNaN(viewers)
      ? "The engine does not answer."
      : viewers > 1
        ? `✓ ${viewers - 1} other page${viewers > 2 ? "s show" : " shows"} the avatar.`
        : "Waiting for OBS to open the page…";
    if (this.seen.textContent !== text) this.seen.textContent = text;
  }
}

function remembered(): number {
  try {
    const value = Number(localStorage.getItem(CORRECTION));
    return Number.isFinite(value) ? value : 0;
  } catch {
    return 0; // storage is off
  }
}

function remember(value: number): void {
  try {
    localStorage.setItem(CORRECTION, String(value));
  } catch {
    // storage is off: it holds until the page is closed
  }
}
