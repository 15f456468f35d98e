// The engine on onnxruntime-node, as desktop programs run it, gives the golden frames too.

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openModel } from "../src/package/node";
import { defaultModel, golden, goldenAudio, type Run, stacked, table, tinyModel, worst } from "./engineGolden";

const CLOSE = 1e-4; // measured 9e-7, as with onnxruntime-web

async function run(folder: URL, wanted: Run, words: boolean): Promise<void> {
  const model = await openModel(fileURLToPath(folder));
  const stream = model.stream({ seed: golden.seed });
  if (words) for (const word of golden.words) stream.windower.pushWord({ ...word, final: true }, word.end);
  const frames = await stream.render(goldenAudio());
  frames.push(...(await stream.finish()));
  await model.close();
  expect(frames.map(({ sample }) => sample)).toEqual(wanted.samples);
  expect(frames.map(({ state }) => state)).toEqual(wanted.states);
  for (const key of ["directions", "rotations", "positions", "root"] as const) {
    expect(worst(stacked(frames.map((frame) => frame[key])), table(wanted[key])), key).toBeLessThan(CLOSE);
  }
}

describe("on onnxruntime-node", () => {
  test("the tiny model has Python's frames", () => run(tinyModel, golden.tiny, true));

  test.skipIf(!golden.default || !defaultModel())("the default model has Python's frames", () => run(defaultModel()!, golden.default!, true), 120_000);

  test("what is no artifact is refused with its reason", async () => {
    const folder = mkdtempSync(join(tmpdir(), "no-artifact-"));
    await expect(openModel(folder)).rejects.toThrow(/manifest.json/);
    writeFileSync(join(folder, "manifest.json"), '{"format":2}');
    await expect(openModel(folder)).rejects.toThrow(/format/);
  });
});
