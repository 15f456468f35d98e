// What is wrong when nothing moves: the page looks for itself, and says what helps.

import type { Frame, VoiceState } from "../protocol";
import { make, prose } from "./elements";

const LOOK_MS = 1000;
const HEARD_S = 30;
const SLOW_FPS = 20;

/** What the page knows of the way from the voice to the picture. */
export interface Health {
  link: string;
  /** Seconds since the last frame came; NaN without one. */
  frameAge: number;
  /** Seconds since somebody spoke; NaN if nobody has. */
  spokeAge: number;
  screenFps: number;
  /** Size of the gestures, if the engine says it. */
  amplitude: number;
  still: boolean;
}

export interface Finding {
  good: boolean;
  title: string;
  help: string;
}

/** Go along the way of the voice; what is behind the first fault cannot be told. */
export function findings(health: Health): Finding[] {
  const found: Finding[] = [];
  const add = (good: boolean, title: string, help: string): boolean => {
    found.push({ good, title, help: good ? "" : help });
    return good;
  };
  if (health.link === "refused") {
    add(false, "The engine wants a token", "Reload the page and enter the token that the engine was started with.");
    return found;
  }
  if (!add(health.link === "open", "The engine answers", "Start it with `gesture live`; this page comes back by itself. Is it on another port? Open the address that it prints.")) return found;
  if (!add(health.frameAge < 2, "Frames come", "The engine stands still: look at its window, or start it again. `gesture doctor` checks the rest.")) return found;
  add(health.spokeAge < HEARD_S, `It has heard a voice in the last ${HEARD_S} s`, "Say something. Still nothing? Choose your microphone above, see that it is not muted, and that the system lets programs use it.");
  add(!health.still && !(health.amplitude < 0.1), "Gestures are on", "Under Motion: untick Stand still, and make Size larger.");
  add(!(health.screenFps < SLOW_FPS), "The picture is smooth", "This machine draws too slowly: close other 3D programs, make the window smaller, or watch on another machine.");
  return found;
}

/** The section's content, looked at anew every second. */
export class Checks {
  readonly element = make("div");
  private readonly list = make("ul");
  private timer = 0;
  private lastFrame = NaN;
  private lastVoice = NaN;
  private said = "";
  private readonly health: Omit<Health, "frameAge" | "spokeAge"> = {
    link: "connecting",
    screenFps: NaN,
    amplitude: NaN,
    still: false,
  };

  constructor() {
    this.list.className = "checks";
    this.list.setAttribute("aria-live", "polite");
    this.element.append(
      this.list,
      prose("Voice and hands apart? Set up OBS above, the steps Voice and Clap. Hands through the body? Under Motion, Fit to the avatar."),
      prose("For another machine start the engine with `--bind`, `--cert`, `--key` and `--token`; the page asks for the token."),
    );
  }

  frame(frame: Frame, at: number): void {
    this.lastFrame = at;
    const spoke: VoiceState = "speaking";
    if (frame.state === spoke) this.lastVoice = at;
  }

  link(state: string): void {
    this.health.link = state;
  }

  screen(fps: number): void {
    this.health.screenFps = fps;
  }

  settings(values: Record<string, unknown>): void {
    this.health.amplitude = typeof values["amplitude"] === "number" ? values["amplitude"] : NaN;
    this.health.still = values["still"] === true;
  }

  set shown(shown: boolean) {
    clearInterval(this.timer);
    if (!shown) return;
    this.draw();
    this.timer = window.setInterval(() => this.draw(), LOOK_MS);
  }

  private draw(): void {
    const now = performance.now() / 1000;
    const found = findings({ ...this.health, frameAge: now - this.lastFrame, spokeAge: now - this.lastVoice });
    const said = found.map(({ good, title }) => `${good} ${title}`).join();
    if (said === this.said) return; // a screen reader need not hear it again
    this.said = said;
    this.list.replaceChildren(
      ...found.map(({ good, title, help }) => {
        const row = make("li");
        row.className = good ? "good" : "bad";
        const mark = make("span", good ? "✓" : "✗");
        mark.setAttribute("aria-label", good ? "in order:" : "wrong:");
        mark.setAttribute("role", "img");
        row.append(mark, make("b", title));
        if (help) row.append(prose(help));
        return row;
      }),
    );
  }
}
