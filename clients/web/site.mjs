// Puts the page that needs no engine into a folder that any web server can host:
// `npm run site -- FOLDER`. Its addresses are relative: it may lie anywhere.

import { cpSync, copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const data = fileURLToPath(new URL("../../streamer/data/", import.meta.url));
const model = join(data, "models", "ha2g-stream-small");
const [folder] = process.argv.slice(2);

function fail(message) {
  console.error(`site: ${message}`);
  process.exit(2);
}

if (!folder) fail("name the folder to write: npm run site -- FOLDER");
if (!existsSync(join(model, "model.onnx"))) fail(`${model} is missing: the default model is not in this checkout`);
if (existsSync(folder) && readdirSync(folder).length > 0) fail(`${folder} is not empty`);
mkdirSync(folder, { recursive: true });
cpSync(join(data, "web"), folder, { recursive: true });
rmSync(join(folder, "index.html")); // the overlay needs an engine
renameSync(join(folder, "local.html"), join(folder, "index.html"));
for (const [from, to, names] of [
  [model, "model", ["manifest.json", "model.onnx", "MODEL_CARD.md", "LICENSE"]],
  [join(data, "demo"), "demo", ["speech.flac", "words.json", "README.md"]],
  [join(data, "avatars"), "", ["mannequin.vrm"]],
]) {
  mkdirSync(join(folder, to), { recursive: true });
  for (const name of names) copyFileSync(join(from, name), join(folder, to, name));
}
console.log(`${folder}: put this folder on any web server (https, or this machine for the microphone)`);
