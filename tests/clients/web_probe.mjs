// The npm package as a probe, with the same output as the Python, C# and C++ ones.
//
// web_probe.mjs PACKAGE live URL SUBPROTOCOL SECONDS

import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, what, url, subprotocol, seconds] = process.argv.slice(2);
const entry = pathToFileURL(join(folder, "dist", "package", "index.js")).href;
const { Connection, Playback, restPose } = await import(entry);

const now = () => performance.now() / 1000;
const numbers = (values) => Array.from(values, String).join(" ");
const lines = [];
const came = [];
let playback = null;
let connections = 0;
let missed = 0;
let last = -1;
let stopped = false;

const connection = new Connection(
  url,
  {
    link: () => undefined,
    problem: (message) => lines.push(`problem ${message}`),
    hello(hello) {
      connections++;
      last = -1;
      playback = new Playback(hello, restPose(hello.bones), null);
      lines.push(`hello ${hello.session} ${hello.fps} ${hello.bones.join(",")}`);
    },
    frame(frame, at) {
      came.push(at);
      if (last >= 0) missed += frame.seq - last - 1;
      last = frame.seq;
      playback.push(frame, at);
      lines.push(
        `frame ${frame.seq} ${frame.index} ${frame.sample} ${frame.state} ${frame.reset ? 1 : 0} ` +
          `root ${numbers(frame.root)} rotations ${numbers(frame.rotations)}`,
      );
    },
    event({ kind, sample, data }) {
      lines.push(`event ${kind} ${sample} ${JSON.stringify(data)}`);
      if (data.text === "stop") stopped = true;
    },
  },
  { form: subprotocol.split(".").at(-1) },
);

async function live() {
  connection.start();
  const start = now();
  let [updates, held, backwards] = [0, 0, 0];
  let shown = null;
  while (!stopped && now() - start < Number(seconds)) {
    if (playback) {
      playback.update(now());
      updates++;
      held += playback.mode === "held";
      const live = playback.mode === "live" && !Number.isNaN(playback.sample);
      if (live && shown?.connections === connections) backwards += playback.sample < shown.sample;
      shown = live ? { connections, sample: playback.sample } : null;
    }
    await new Promise((go) => setTimeout(go, Math.max(0, (start + updates / 60 - now()) * 1000)));
  }
  connection.stop();
  const gaps = came.slice(1).map((at, i) => 1000 * (at - came[i]));
  const summary = {
    problem: "",
    frames: came.length,
    missed,
    dropped: 0,
    updates,
    held_updates: held,
    backwards,
    worst_gap_ms: Math.max(0, ...gaps),
    jitter_ms: 1000 * (playback?.clock.jitter ?? 0),
  };
  process.stdout.write(`${lines.join("\n")}\nsummary ${JSON.stringify(summary)}\n`);
}

if (what !== "live") throw new Error(`what is ${what}?`);
await live();
