// Puts onnxruntime's WebAssembly into the build once, compressed: 14 MB become 3.7,
// whether or not the server that hosts the page compresses what it sends.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { gzipSync } from "fflate";
import type { Plugin } from "vite";

const NAME = "virtual:onnxruntime-wasm";
const WASM = "onnxruntime-web/ort-wasm-simd-threaded.wasm";

/** `import url from "virtual:onnxruntime-wasm"`. */
export function onnxruntimeWasm(): Plugin {
  let building = false;
  return {
    name: "onnxruntime-wasm",
    configResolved: (config) => void (building = config.command === "build"),
    resolveId: (id) => (id === NAME ? `\0${NAME}` : null),
    load(id) {
      if (id !== `\0${NAME}`) return null;
      const file = createRequire(import.meta.url).resolve(WASM);
      if (!building) return `export default ${JSON.stringify(`/@fs${file}`)}`;
      // fflate's bytes are the same on every machine, zlib's are not.
      const source = gzipSync(readFileSync(file), { level: 9, mtime: 0 });
      const asset = this.emitFile({ type: "asset", name: "onnxruntime.bin", source });
      return `export default import.meta.ROLLUP_FILE_URL_${asset}`;
    },
  };
}

/** The page hands the WebAssembly over: onnxruntime's own addresses of it lead nowhere. */
export function withoutOwnWasm(): Plugin {
  return {
    name: "onnxruntime-without-own-wasm",
    enforce: "pre",
    transform(code, id) {
      if (!id.includes("onnxruntime-web/dist/")) return null;
      const address = 'new URL("ort-wasm-simd-threaded.wasm",import.meta.url)';
      if (!code.includes(address)) throw new Error("onnxruntime-web names its WebAssembly otherwise now");
      return { code: code.replaceAll(address, 'new URL("about:blank")'), map: null };
    },
  };
}
