import { defineConfig } from "vitest/config";
import { onnxruntimeWasm, withoutOwnWasm } from "./runtime.ts";

// The bundle is committed and served by the engine at `/`: same bytes for the
// same sources, relative addresses, and what OBS's browser (Chromium 103) reads.
export default defineConfig({
  base: "./",
  plugins: [onnxruntimeWasm()],
  worker: { format: "es", plugins: () => [withoutOwnWasm()] },
  build: {
    target: "chrome103",
    outDir: "../../streamer/data/web",
    emptyOutDir: true,
    sourcemap: false,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    reportCompressedSize: true,
    rolldownOptions: { input: ["index.html", "local.html"] },
  },
  test: { testTimeout: 60_000 }, // the engine runs in WebAssembly, on busy machines too
  server: {
    proxy: {
      "/v1": { target: "http://127.0.0.1:8765", ws: true },
      "^/(avatar|model|demo|mannequin.vrm)": "http://127.0.0.1:8765",
    },
  },
});
