// The overlay page: the engine's stream on a VRM avatar.

import "./style.css";
import { AvatarError, checkVrm } from "./avatar";
import { Connection, type Link } from "./connection";
import { acceptFiles } from "./drop";
import { sha256 } from "./files";
import { Hud } from "./hud";
import { readOptions } from "./options";
import type { Panel } from "./panel/panel";
import { Pcm } from "./pcm";
import { lookInside, Performer } from "./performer";
import { Token } from "./token";
import {
  decodeAvatar,
  decodeChoices,
  decodeLatency,
  MAX_AVATAR_BYTES,
  type AvatarInfo,
  type Choices,
  type Frame,
  type Hello,
  type StreamEvent,
} from "./protocol";
import type { Sound } from "./sound";

class App {
  reconnects = 0;
  link: Link = "connecting";
  hello: Hello | null = null;
  readonly performer: Performer;

  private readonly options = readOptions(location.search);
  private readonly hud = new Hud(true);
  private connection: Connection;
  private panel: Panel | null = null;
  private opening = false;
  private settings: Record<string, unknown> = {};
  private choices: Choices | null = null;
  private readonly token = new Token();
  private refused = false;
  private sound: Sound | null = null;
  private pcm: Pcm | null = null;
  private ownSession = false;
  private wanted: AvatarInfo | null = null;

  constructor() {
    this.performer = new Performer(
      document.getElementById("stage") as HTMLCanvasElement,
      this.options.camera,
    );
    this.performer.transparent = this.options.transparent;
    this.performer.mouthMoves = this.options.mouth;
    this.performer.onDraw = () => this.hud.state(this.link, this.performer.voice);
    this.performer.onRates = (stream, screen) => {
      this.hud.rates(stream, screen);
      this.panel?.screen(screen);
    };
    document.body.classList.toggle("bare", !this.options.hud);
    this.captions = this.options.captions;
    this.connection = this.connect("/v1/watch");
    acceptFiles((file) => void this.onFile(file));
    const mannequin = document.getElementById("mannequin")!;
    mannequin.addEventListener("click", () => this.connection.control({ avatar: "default" }));
    document.getElementById("settings")!.addEventListener("click", () => void this.togglePanel());
    addEventListener("keydown", (event) => this.onKey(event));
  }

  /** more: what a session's hello says beyond its token. */
  private connect(path: string, more: Record<string, unknown> = {}): Connection {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const listener = {
      link: (link: Link) => this.onLink(link),
      hello: (hello: Hello) => this.onHello(hello),
      frame: (frame: Frame, at: number) => this.onFrame(frame, at),
      event: (event: StreamEvent) => this.onEvent(event),
      problem: (message: string) => this.hud.toast(message, "error"),
    };
    const hello = (): Record<string, unknown> => {
      const token = this.token.current;
      return { ...more, ...(token === null ? {} : { token }) };
    };
    return new Connection(`${scheme}://${location.host}${path}`, listener, { hello, include: ["face"] });
  }

  private set captions(shown: boolean) {
    document.body.classList.toggle("silent", !shown);
  }

  private async togglePanel(): Promise<void> {
    if (this.panel?.shown) {
      this.panel.hide();
    } else if (!this.opening) {
      this.opening = true;
      this.panel ??= await this.makePanel();
      this.opening = false;
      this.panel.show();
    }
    const shown = this.panel?.shown === true;
    document.getElementById("settings")!.setAttribute("aria-expanded", String(shown));
  }

  /** The panel is loaded when it is first wanted: most pages are in OBS. */
  private async makePanel(): Promise<Panel> {
    const { Panel } = await import("./panel/panel");
    const panel = new Panel(
      {
        // Of what is shown: the engine's own stream, or a session of this browser's.
        control: (settings) => this.connection.control(settings),
        choose: (choice) => {
          if (!this.ownSession) this.connection.choose({ ...choice });
        },
        captions: (shown) => (this.captions = shown),
        mouth: (moves) => (this.performer.mouthMoves = moves),
        microphone: (on) => void this.useMicrophone(on),
        closed: () => {
          const opener = document.getElementById("settings")!;
          opener.setAttribute("aria-expanded", "false");
          opener.focus();
        },
      },
      {
        captions: !document.body.classList.contains("silent"),
        mouth: this.performer.mouthMoves,
        microphone: this.ownSession,
        needsToken: () => this.token.current !== null,
      },
    );
    if (this.hello) panel.begin(this.hello);
    panel.link(this.link);
    panel.showSettings(this.settings);
    panel.showChoices(this.choices);
    return panel;
  }

  /** Drive an engine with this browser's microphone, or watch its own session again. */
  private async useMicrophone(on: boolean): Promise<void> {
    try {
      if (on) {
        const { Sound } = await import("./sound");
        this.sound ??= new Sound((samples) => {
          for (const message of this.pcm?.push(samples) ?? []) this.connection.audio(message);
        });
        await this.sound.microphone();
      } else {
        this.sound?.stop();
        this.pcm = null;
      }
    } catch (error) {
      this.hud.toast(readable(error), "error");
      if (this.panel) this.panel.usesMicrophone = false;
      return;
    }
    this.connection.stop();
    this.ownSession = on;
    this.settings = {};
    this.choices = null;
    this.panel?.showSettings({});
    this.panel?.showChoices(null);
    this.connection = on ? this.connect("/v1/session", { options: {} }) : this.connect("/v1/watch");
    this.connection.start();
    if (on && !this.performer.avatar) await this.askForAvatar();
  }

  /** An engine that takes sessions only says in no hello which avatar there is. */
  private async askForAvatar(): Promise<void> {
    const response = await fetch("avatar", { headers: this.token.headers }).catch(() => null);
    const info = response?.ok ? decodeAvatar(await response.json()) : null;
    if (info) await this.fetchAvatar(info);
  }

  start(): void {
    this.connection.start();
    this.performer.start();
  }

  private onLink(link: Link): void {
    if (this.link === "open" && link !== "open") this.reconnects++;
    this.link = link;
    this.panel?.link(link);
    if (link === "open") this.refused = false;
    if (link === "refused") {
      this.token.ask(this.refused || this.token.current !== null, () => this.connection.again());
      this.refused = true;
    }
    this.hud.state(link, this.performer.voice); // a hidden page does not draw
  }

  private onHello(hello: Hello): void {
    this.performer.begin(hello);
    this.hello = hello;
    this.hud.hello(hello);
    this.panel?.begin(hello);
    // Every session counts its audio from 0.
    this.pcm = this.ownSession && this.sound ? new Pcm(this.sound.rate) : null;
    if (this.panel?.shown) {
      this.connection.control({}); // which are in effect?
      if (!this.ownSession) this.connection.choose({});
    }
    if (hello.avatar) void this.fetchAvatar(hello.avatar);
  }

  private onFrame(frame: Frame, at: number): void {
    this.performer.push(frame, at);
    this.panel?.frame(frame, at);
  }

  private onEvent({ kind, sample, data }: StreamEvent): void {
    switch (kind) {
      case "word":
        this.hud.word(String(data["text"]), Number(data["start"] ?? sample), data["final"] !== false);
        break;
      case "caption":
        this.hud.caption(String(data["text"] ?? ""));
        break;
      case "latency":
        if (!this.hello) break;
        this.hello.latency = decodeLatency(data, this.hello.latency);
        this.hud.latency(this.hello.latency);
        this.panel?.latency(this.hello.latency);
        break;
      case "settings":
        this.settings = data;
        this.panel?.showSettings(data);
        break;
      case "choices":
        this.choices = decodeChoices(data);
        this.hud.model(this.choices.model, this.choices.backend);
        this.panel?.showChoices(this.choices);
        break;
      case "avatar": {
        const info = decodeAvatar(data);
        if (info) void this.fetchAvatar(info);
        break;
      }
      case "warning":
        this.onWarning(String(data["code"] ?? ""), String(data["message"] ?? "warning"));
        break;
      default:
        break;
    }
  }

  private onWarning(code: string, message: string): void {
    switch (code) {
      case "lag":
        break; // this page is slow, and its status card shows it
      case "unavailable":
        break; // the panel says what an engine does not have
      case "refused":
        this.panel?.refuse(message);
        this.hud.toast(message, "error");
        break;
      default:
        this.hud.toast(message, "error");
    }
  }

  private onKey(event: KeyboardEvent): void {
    if ((event.target as Element | null)?.closest?.("dialog")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key.toLowerCase()) {
      case "h":
        this.captions = !document.body.classList.toggle("bare");
        break;
      case "r":
        this.performer.stage.resetCamera();
        break;
      case "t":
        this.performer.transparent = !this.performer.transparent;
        break;
      case "s":
        void this.togglePanel();
        break;
      default:
        break;
    }
  }

  /** Show the avatar that the engine names, unless it is on the stage already. */
  private async fetchAvatar(info: AvatarInfo): Promise<void> {
    if (this.wanted?.sha256 === info.sha256) return;
    this.wanted = info;
    document.getElementById("mannequin")!.hidden = !info.custom;
    if (this.performer.shown === info.sha256) return;
    try {
      const response = await fetch(info.url, { headers: this.token.headers });
      if (!response.ok) throw new AvatarError(`The engine does not give the avatar (${response.status}).`);
      const length = Number(response.headers.get("Content-Length") ?? 0);
      if (length > MAX_AVATAR_BYTES) throw new AvatarError("The avatar is larger than 100 MB.");
      const bytes = new Uint8Array(await response.arrayBuffer());
      await this.performer.show(bytes, info.sha256);
    } catch (error) {
      this.wanted = null;
      this.hud.toast(readable(error), "error");
    }
  }

  private async onFile(file: File): Promise<void> {
    try {
      if (file.size > MAX_AVATAR_BYTES) throw new AvatarError("This file is larger than 100 MB.");
      const bytes = new Uint8Array(await file.arrayBuffer());
      checkVrm(bytes);
      const digest = await sha256(bytes);
      await this.performer.show(bytes, digest);
      await this.connection.send(file.name, bytes, digest);
      this.hud.toast(`${this.performer.avatar?.name ?? file.name} is your avatar now, on every page.`);
    } catch (error) {
      this.hud.toast(readable(error), "error");
      const wanted = this.wanted;
      this.wanted = null;
      if (wanted) void this.fetchAvatar(wanted); // back to what the engine has
    }
  }
}

function readable(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

declare global {
  interface Window {
    /** What tests and curious people may look at. */
    __gesture: unknown;
  }
}

const app = new App();
window.__gesture = {
  get state() {
    return { link: app.link, reconnects: app.reconnects, ...lookInside(app.performer) };
  },
  bones: () => app.performer.avatar?.bones() ?? {},
  positions: () => app.performer.avatar?.positions() ?? {},
};
app.start();
