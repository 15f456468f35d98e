import { Quaternion, Vector3 } from "three";
import { describe, expect, it } from "vitest";
import { AvatarError, checkVrm, type Framing } from "../src/avatar";
import { backoffMs } from "../src/backoff";
import { Blink, Gaze, Mouth, VOWELS } from "../src/life";
import { readOptions } from "../src/options";
import { LEVELS, Quality } from "../src/quality";
import { restPose } from "../src/rest";
import { placeCamera, PRESETS } from "../src/stage";
import { seeded } from "./helpers";

describe("rest pose", () => {
  const bones = ["leftUpperArm", "rightUpperArm", "leftLowerArm", "rightLowerArm"];
  const pose = restPose(bones);
  const rotation = (i: number): Quaternion => new Quaternion().fromArray(pose.rotations, i * 4);

  it("lets both arms hang, mirrored", () => {
    const left = new Vector3(1, 0, 0).applyQuaternion(rotation(0));
    const right = new Vector3(-1, 0, 0).applyQuaternion(rotation(1));
    expect(left.y).toBeLessThan(-0.85);
    expect(left.x).toBeGreaterThan(0.1); // clear of the body
    expect(right.x).toBeCloseTo(-left.x, 5);
    expect(right.y).toBeCloseTo(left.y, 5);
    expect(right.z).toBeCloseTo(left.z, 5);
  });

  it("brings the hands forward, not back", () => {
    const forearm = new Vector3(1, 0, 0).applyQuaternion(rotation(0).multiply(rotation(2)));
    expect(forearm.z).toBeGreaterThan(0.1);
    expect(forearm.y).toBeLessThan(-0.7);
  });
});

describe("life", () => {
  it("blinks 8 to 35 times a minute and fully, eyes mostly open", () => {
    const blink = new Blink(seeded(4));
    let closings = 0;
    let closed = 0;
    let before = 0;
    let widest = 0;
    for (let at = 0; at < 300; at += 1 / 60) {
      const value = blink.update(at);
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThanOrEqual(1);
      if (before < 0.5 && value >= 0.5) closings++;
      if (value > 0.5) closed++;
      widest = Math.max(widest, value);
      before = value;
    }
    expect(closings / 5).toBeGreaterThan(8);
    expect(closings / 5).toBeLessThan(35);
    expect(closed / (300 * 60)).toBeLessThan(0.06);
    expect(widest).toBeGreaterThan(0.9);
  });

  it("keeps the gaze near the camera", () => {
    const gaze = new Gaze(seeded(5));
    for (let at = 0; at < 60; at += 1 / 60) {
      gaze.update(at, 1 / 60);
      expect(Math.hypot(gaze.x, gaze.y)).toBeLessThan(0.25);
    }
  });

  it("moves the mouth while the voice speaks and shuts it afterwards", () => {
    const mouth = new Mouth(seeded(6));
    let open = 0;
    for (let at = 0; at < 10; at += 1 / 60) {
      mouth.update(at, 1 / 60, true);
      open = Math.max(open, ...VOWELS.map((v) => mouth.weights[v]));
    }
    expect(open).toBeGreaterThan(0.3);
    expect(open).toBeLessThan(0.8);
    for (let at = 10; at < 11; at += 1 / 60) mouth.update(at, 1 / 60, false);
    for (const vowel of VOWELS) expect(mouth.weights[vowel]).toBeLessThan(0.01);
    mouth.update(11, 1 / 60, true, { aa: 0.1, ih: 0, ou: 0.6, ee: 0, oh: 0.2 }); // the stream knows
    expect(mouth.weights).toEqual({ aa: 0.1, ih: 0, ou: 0.6, ee: 0, oh: 0.2 });
  });
});

describe("camera", () => {
  const framing: Framing = { top: 1.8, head: 1.52, chest: 1.17, hips: 0.95, thigh: 0.8, reach: 0.7 };

  it.each(PRESETS)("%s shows what it promises, in wide and tall windows", (preset) => {
    for (const aspect of [16 / 9, 1, 9 / 16]) {
      const { position, target } = placeCamera(preset, framing, aspect);
      const half = position.distanceTo(target) * Math.tan((22 * Math.PI) / 360);
      expect(target.y + half).toBeGreaterThan(framing.top);
      const bottom = { upper: framing.thigh, side: framing.thigh, bust: framing.chest, full: 0 };
      expect(target.y - half).toBeLessThan(bottom[preset]);
      if (preset === "upper") expect(half * aspect).toBeGreaterThanOrEqual(0.75 * framing.reach - 1e-9);
    }
  });
});

describe("quality", () => {
  const run = (quality: Quality, fps: number, seconds: number): void => {
    for (let i = 0; i < seconds * fps; i++) quality.update(1 / fps);
  };

  it("stays fine at 30 fps, gives up step by step when slower, and never returns", () => {
    const quality = new Quality();
    run(quality, 30, 20);
    expect(quality.level).toBe(0);
    run(quality, 10, 2.5);
    expect(quality.level).toBe(1);
    run(quality, 10, 60);
    expect(quality.level).toBe(LEVELS.length - 1);
    run(quality, 60, 20);
    expect(quality.level).toBe(LEVELS.length - 1);
  });

  it("forgives slow first frames and a hidden page", () => {
    const quality = new Quality();
    quality.update(0.9);
    quality.update(0.9);
    run(quality, 60, 5);
    quality.update(30);
    run(quality, 60, 5);
    expect(quality.level).toBe(0);
  });
});

describe("options", () => {
  it("reads the address", () => {
    expect(readOptions("")).toEqual({
      transparent: false,
      hud: true,
      mouth: true,
      captions: true,
      camera: "upper",
    });
    expect(readOptions("?transparent=1")).toMatchObject({ transparent: true, hud: false });
    expect(readOptions("?transparent=1&hud=1&camera=bust&mouth=0")).toEqual({
      transparent: true, hud: true, mouth: false, captions: true, camera: "bust",
    });
    expect(readOptions("?camera=nonsense&transparent=0").camera).toBe("upper");
  });
});

describe("avatar files", () => {
  const glb = (json: string): Uint8Array => {
    const text = new TextEncoder().encode(json);
    const bytes = new Uint8Array(20 + text.length);
    const view = new DataView(bytes.buffer);
    [0x46546c67, 2, bytes.length, text.length, 0x4e4f534a].forEach((v, i) =>
      view.setUint32(4 * i, v, true),
    );
    bytes.set(text, 20);
    return bytes;
  };

  it("tells in plain words what is wrong", () => {
    expect(() => checkVrm(new Uint8Array(5))).toThrow(/not a VRM/);
    expect(() => checkVrm(new TextEncoder().encode("x".repeat(50)))).toThrow(/not a VRM/);
    expect(() => checkVrm(glb("{broken"))).toThrow(/damaged/);
    expect(() => checkVrm(glb("{}").slice(0, 21))).toThrow(/damaged/);
    expect(() => checkVrm(glb('{"extensions":{"KHR_lights":{}}}'))).toThrow(/humanoid/);
    expect(() => checkVrm(glb("null"))).toThrow(AvatarError);
    expect(() => checkVrm(glb('{"extensions":{"VRM":{}}}'))).not.toThrow();
    expect(() => checkVrm(glb('{"extensions":{"VRMC_vrm":{}}}'))).not.toThrow();
  });
});

describe("reconnecting", () => {
  it("backs off to 5 s with jitter", () => {
    expect(backoffMs(0, () => 0.5)).toBe(400);
    expect(backoffMs(2, () => 0)).toBe(1200);
    expect(backoffMs(30, () => 0.999)).toBeLessThan(6250);
  });
});
