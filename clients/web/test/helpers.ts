import { readFileSync } from "node:fs";
import { decodeText, type Frame, type Hello } from "../src/protocol";

const golden = new URL("../../golden/", import.meta.url);

export function goldenFile(name: string): Buffer {
  return readFileSync(new URL(name, golden));
}

export function goldenLines(): Record<string, unknown>[] {
  return goldenFile("gesture.v1.json.jsonl")
    .toString("utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function goldenHello(): Hello {
  const message = decodeText(JSON.stringify(goldenLines()[0]));
  if (message.type !== "hello") throw new Error("the golden stream starts with no hello");
  return message.hello;
}

/** A frame of one bone, turned by `angle` about z. */
export function turned(sample: number, angle: number, more: Partial<Frame> = {}): Frame {
  return {
    seq: 0,
    index: 0,
    sample,
    state: "speaking",
    reset: false,
    root: new Float32Array(3),
    rotations: new Float32Array([0, 0, Math.sin(angle / 2), Math.cos(angle / 2)]),
    ...more,
  };
}

export function angleOf(rotations: Float32Array): number {
  return 2 * Math.atan2(rotations[2]!, rotations[3]!);
}

/** Repeatable numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}
