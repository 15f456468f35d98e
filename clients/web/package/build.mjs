// Writes the npm package into a folder, ready for `npm pack` or `npm publish`:
// `npm run package -- FOLDER`. No dependency travels in it.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const [folder] = process.argv.slice(2);

function fail(message) {
  console.error(`package: ${message}`);
  process.exit(2);
}

if (!folder) fail("name the folder to write: npm run package -- FOLDER");
if (existsSync(folder) && readdirSync(folder).length > 0) fail(`${folder} is not empty`);
const dist = resolve(folder, "dist");
mkdirSync(dist, { recursive: true });
const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
const tsc = join(typescript, "..", JSON.parse(readFileSync(typescript, "utf8")).bin.tsc);
execFileSync(process.execPath, [tsc, "-p", join(here, "tsconfig.json"), "--outDir", dist], { stdio: "inherit" });
// Node and strict compilers want whole names of files, which our sources leave to the bundler.
for (const name of readdirSync(dist, { recursive: true })) {
  if (!/\.(js|d\.ts)$/.test(name)) continue;
  const file = join(dist, name);
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/(\bfrom |\bimport\()"(\.{1,2}\/[^"]+)"/g, '$1"$2.js"'));
}
copyFileSync(join(here, "package.json"), join(folder, "package.json"));
copyFileSync(join(here, "README.md"), join(folder, "README.md"));
copyFileSync(join(here, "..", "..", "..", "LICENSE"), join(folder, "LICENSE"));
console.log(`${folder}: npm pack or npm publish it`);
