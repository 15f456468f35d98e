import { defineConfig } from "vite";

// The bundle is committed and served by the engine at `/`: same bytes for the
// same sources, relative addresses, and what OBS's browser (Chromium 103) reads.
export default defineConfig({
  base: "./",
  build: {
    target: "chrome103",
    outDir: "../../streamer/data/web",
    emptyOutDir: true,
    sourcemap: false,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      "/v1": { target: "http://127.0.0.1:8765", ws: true },
      "/avatar": "http://127.0.0.1:8765",
    },
  },
});
