import { describe, expect, it } from "vitest";
import { decodeAvatar, decodeFrame, decodeLatency, decodeText, ProtocolError } from "../src/protocol";
import { goldenFile, goldenHello, goldenLines } from "./helpers";

function records(): { text: boolean; body: Buffer }[] {
  const data = goldenFile("gesture.v1.bin.golden");
  const found = [];
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32LE(at + 1);
    found.push({ text: data[at] === 1, body: data.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return found;
}

function bytes(body: Buffer): ArrayBuffer {
  return new Uint8Array(body).buffer;
}

describe("golden streams", () => {
  const hello = goldenHello();
  const lines = goldenLines();
  const binary = records();

  it("gives the same frames in both subprotocols", () => {
    let compared = 0;
    lines.forEach((line, i) => {
      if (line["type"] !== "frame") return;
      const record = binary[i]!;
      expect(record.text).toBe(false);
      const frame = decodeFrame(bytes(record.body), hello);
      for (const key of ["seq", "index", "sample", "state", "reset"] as const) {
        expect(frame[key]).toBe(line[key]);
      }
      const rotations = line["rotations"] as number[];
      expect(frame.rotations.length).toBe(rotations.length);
      // JSON has 5 decimals.
      rotations.forEach((v, k) => expect(Math.abs(frame.rotations[k]! - v)).toBeLessThan(6e-6));
      (line["root"] as number[]).forEach((v, k) =>
        expect(Math.abs(frame.root[k]! - v)).toBeLessThan(6e-6),
      );
      compared++;
    });
    expect(compared).toBeGreaterThan(1);
  });

  it("reads every text message", () => {
    const known = new Set(["hello", "event", "upload", "error"]);
    lines.forEach((line, i) => {
      if (line["type"] === "frame") return;
      const message = decodeText(binary[i]!.body.toString("utf8"));
      const type = String(line["type"]);
      expect(message.type).toBe(known.has(type) ? type : "other");
    });
  });

  it("reads the hello", () => {
    expect(hello.fps).toBe(15);
    expect(hello.sampleRate).toBe(16000);
    expect(hello.bones[0]).toBe("hips");
    expect(hello.parents[0]).toBe(-1);
    expect(hello.bones.length).toBe(hello.parents.length);
    expect(hello.latency).toEqual({
      algorithmic: 200, compute: 3.21, mic_to_wire: 9.5, visible: 309.5,
    });
    expect(hello.avatar?.custom).toBe(true);
  });

  it("refuses frames that do not fit", () => {
    const good = bytes(binary[lines.findIndex((line) => line["type"] === "frame")]!.body);
    const broken = (change: (view: DataView) => void): ArrayBuffer => {
      const copy = good.slice(0);
      change(new DataView(copy));
      return copy;
    };
    expect(() => decodeFrame(good.slice(0, 20), hello)).toThrow(ProtocolError);
    expect(() => decodeFrame(good.slice(0, good.byteLength - 4), hello)).toThrow(/bytes/);
    expect(() => decodeFrame(broken((v) => v.setUint8(0, 0)), hello)).toThrow(/GSTF/);
    expect(() => decodeFrame(broken((v) => v.setUint8(4, 9)), hello)).toThrow(/GSTF/);
    expect(() => decodeFrame(broken((v) => v.setUint8(6, 3)), hello)).toThrow(/state/);
    expect(() => decodeFrame(broken((v) => v.setFloat32(40, NaN, true)), hello)).toThrow(/finite/);
  });
});

describe("text messages", () => {
  it("refuses another protocol and ignores unknown types", () => {
    expect(() => decodeText('{"type":"hello","protocol":"gesture.v2"}')).toThrow(/gesture.v2/);
    expect(() => decodeText("[1]")).toThrow(ProtocolError);
    expect(() => decodeText("{")).toThrow(SyntaxError);
    expect(decodeText('{"type":"tomorrow"}')).toEqual({ type: "other" });
  });

  it("keeps the latencies that an event does not name", () => {
    const last = { algorithmic: 200, compute: 3, mic_to_wire: 9, visible: 300 };
    expect(decodeLatency({ compute_ms: 4.5, visible_ms: null }, last)).toEqual({ ...last, compute: 4.5 });
  });

  it("knows an avatar by its address", () => {
    expect(decodeAvatar({})).toBeNull();
    expect(decodeAvatar({ name: "a", url: "/avatar/file", sha256: "0a" })).toEqual({
      name: "a", url: "/avatar/file", sha256: "0a", custom: false,
    });
  });
});
