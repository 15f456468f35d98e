import { expect, test } from "vitest";
import { LiveStream } from "../src/engine/live";
import type { EngineFrame, Stream } from "../src/engine/stream";
import type { Window } from "../src/engine/windower";
import type { ModelSpec } from "../src/engine/manifest";
import { GROUPS, type Slider, spoken } from "../src/panel/comfort";
import { findings, type Health } from "../src/panel/help";
import { Energy, History } from "../src/panel/measures";
import { sceneUrl, syncOffset } from "../src/panel/wizard";
import { audioMessage, Pcm } from "../src/pcm";
import { decodeChoices } from "../src/protocol";
import { goldenFile, seeded, turned } from "./helpers";

test("an audio message is the golden one", () => {
  const golden = goldenFile("audio.bin");
  const samples = Float32Array.from({ length: (golden.length - 16) / 2 }, (_, i) => golden.readInt16LE(16 + 2 * i) / 32768);
  expect(Buffer.from(audioMessage(samples, 48_000))).toEqual(golden);
});

test("audio beyond full scale is cut, not wrapped", () => {
  const view = new DataView(audioMessage(Float32Array.of(2, -2, 1, -1), 0));
  expect([0, 1, 2, 3].map((i) => view.getInt16(16 + 2 * i, true))).toEqual([32767, -32768, 32767, -32768]);
});

test("messages follow one another without a gap, however the audio comes", () => {
  const random = seeded(4);
  const pcm = new Pcm(48_000);
  let next = 0;
  for (let sent = 0; sent < 100_000; ) {
    const block = new Float32Array(Math.floor(random() * 2000));
    sent += block.length;
    for (const message of pcm.push(block)) {
      const view = new DataView(message);
      expect(Number(view.getBigUint64(8, true))).toBe(next);
      next += (message.byteLength - 16) / 2;
    }
  }
  expect(next).toBeGreaterThan(32_000);
  expect(next % 640).toBe(0);
});

test("energy is the speed of the arms", () => {
  const energy = new Energy();
  energy.begin(["leftUpperArm"]);
  for (let n = 0; n < 60; n++) energy.push(turned(n * 1600, n * 0.1), 16_000); // 1 rad/s
  expect(energy.value).toBeCloseTo(180 / Math.PI, 0);
  energy.push(turned(60 * 1600, 3, { reset: true }), 16_000); // a jump is no movement
  expect(energy.value).toBeCloseTo(180 / Math.PI, 0);
  for (let n = 61; n < 90; n++) energy.push(turned(n * 1600, 3), 16_000);
  expect(energy.value).toBeLessThan(0.1);
  energy.begin(["spine"]);
  energy.push(turned(0, 0), 16_000);
  energy.push(turned(1600, 1), 16_000);
  expect(energy.value).toBe(0);
});

test("history forgets what is old and what is no number", () => {
  const history = new History(10);
  history.push(0, 7);
  history.push(8, 2);
  history.push(9, NaN);
  expect([history.last, history.most]).toEqual([2, 7]);
  history.push(11, 3);
  expect([history.points.length, history.most]).toEqual([2, 3]);
});

test("settings are said in their units and have names of their own", () => {
  const controls = GROUPS.flatMap((group) => group.controls);
  expect(new Set(controls.map(({ name }) => name)).size).toBe(controls.length);
  const slider = (name: string): Slider => controls.find((c) => c.name === name) as Slider;
  expect(spoken(slider("amplitude"), 1.25)).toBe("125 %");
  expect(spoken(slider("torso_radius"), 0.12)).toBe("12 cm");
  expect(spoken(slider("spread"), -5)).toBe("-5 °");
});

test("a live stream that is too slow forgets at most a second and starts afresh", async () => {
  const steps: number[] = [];
  let restarts = 0;
  let go: () => void = () => undefined;
  let pushed = 0;
  const windower = {
    position: 0,
    push: () => [{ step: pushed++ } as Window],
    restart: () => void restarts++,
  };
  const stream = {
    windower,
    step: async (window: Window) => {
      steps.push(window.step);
      await new Promise<void>((resume) => (go = resume));
      return { index: window.step } as EngineFrame;
    },
  } as unknown as Stream;
  const frames: number[] = [];
  const dropped: number[] = [];
  const live = new LiveStream(
    stream,
    { fps: { numerator: 15, denominator: 1 } } as ModelSpec,
    {
      frame: ({ index }) => frames.push(index),
      dropped: (count) => dropped.push(count),
      failed: (error) => expect.fail(String(error)),
    },
    () => 0,
  );
  for (let n = 0; n < 18; n++) live.push(new Float32Array(1));
  expect(steps).toEqual([0]); // one at a time
  expect([dropped, restarts]).toEqual([[16], 1]);
  for (let n = 0; n < 3; n++) {
    go();
    await new Promise((soon) => setImmediate(soon));
  }
  expect(frames).toEqual([0, 17]);
});

const WELL: Health = { link: "open", frameAge: 0.1, spokeAge: 3, screenFps: 60, amplitude: 1, still: false };

test.each<[Partial<Health>, string]>([
  [{ link: "waiting" }, "The engine answers"],
  [{ link: "refused" }, "The engine wants a token"],
  [{ frameAge: 5 }, "Frames come"],
  [{ frameAge: NaN }, "Frames come"],
  [{ spokeAge: NaN }, "It has heard a voice in the last 30 s"],
  [{ amplitude: 0 }, "Gestures are on"],
  [{ still: true }, "Gestures are on"],
  [{ screenFps: 4 }, "The picture is smooth"],
])("what is wrong is named, with what helps: %o", (fault, title) => {
  expect(findings(WELL).every(({ good, help }) => good && help === "")).toBe(true);
  const bad = findings({ ...WELL, ...fault }).filter(({ good }) => !good);
  expect(bad.map((finding) => finding.title)).toEqual([title]);
  expect(bad[0]!.help.length).toBeGreaterThan(20);
});

test("what is not known yet is no fault", () => {
  expect(findings({ ...WELL, screenFps: NaN, amplitude: NaN }).every(({ good }) => good)).toBe(true);
});

test("the address for OBS asks for what differs from the default, and holds no secret", () => {
  const page = "https://box:8765/?hud=1&camera=side#x";
  expect(sceneUrl(page, { camera: "upper", captions: false, mouth: true })).toBe("https://box:8765/?transparent=1");
  expect(sceneUrl(page, { camera: "full", captions: true, mouth: false })).toBe(
    "https://box:8765/?transparent=1&camera=full&captions=1&mouth=0",
  );
});

test("an offset is never negative, and unknown while nothing is measured", () => {
  expect([syncOffset(315.4, -20), syncOffset(100, -200), syncOffset(NaN, 10)]).toEqual([295, 0, NaN]);
});

test("choices are read from the event, whatever is missing", () => {
  const data = {
    source: "mic A",
    device: "A",
    devices: [{ id: "A", name: "A", default: true }, 7],
    model: "m",
    backend: "b",
    models: [{ id: "m", name: "M" }],
  };
  expect(decodeChoices(data)).toEqual({
    ...data,
    devices: [{ id: "A", name: "A", isDefault: true }],
  });
  expect(decodeChoices({})).toEqual({ source: "", device: "", devices: [], model: "", backend: "", models: [] });
});
