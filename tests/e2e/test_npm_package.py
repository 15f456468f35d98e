"""The npm package as a stranger gets it: packed, installed in an empty folder, compiled, used."""

import json
import os
import sys
from pathlib import Path

import pytest

from streamer import __version__
from tests.clients.probes import GOLDEN, golden_json
from tests.support import require
from tests.web_modules import SOURCE, build_package, modules, run, tool

USE = """
import { readFileSync } from "node:fs";
import {
  Connection, decodeFrame, decodeText, Playback, readFrame, restPose,
  type Frame, type Hello, type Listener,
} from "@gesture-streamer/client";
import { Resampler, type Stream } from "@gesture-streamer/client/engine";
import { openModel, type Model } from "@gesture-streamer/client/node";

const [golden, model] = process.argv.slice(2) as [string, string];
const hellos: Hello[] = [];
const frames: { bin: Frame[]; json: Frame[] } = { bin: [], json: [] };

for (const line of readFileSync(`${golden}/gesture.v1.json.jsonl`, "utf8").trim().split("\\n")) {
  const message = decodeText(line);
  if (message.type === "hello") hellos.push(message.hello);
  if (message.type === "frame") frames.json.push(readFrame(message.data, hellos[0]!));
}
const records = readFileSync(`${golden}/gesture.v1.bin.golden`);
for (let at = 0; at < records.length; ) {
  const [kind, size] = [records.readUInt8(at), records.readUInt32LE(at + 1)];
  const bytes = records.subarray(at + 5, at + 5 + size);
  if (kind === 2) {
    const copy = new Uint8Array(bytes).buffer;
    frames.bin.push(decodeFrame(copy, hellos[0]!));
  }
  at += 5 + size;
}
const hello = hellos[0]!;
const playback = new Playback(hello, restPose(hello.bones), null);
playback.push(frames.bin[0]!, 0);
playback.push(frames.bin[1]!, 1 / hello.fps);
const pose = playback.update(1 / hello.fps + 0.05);

const listener: Listener = {
  link: () => undefined, hello: () => undefined, frame: () => undefined,
  event: () => undefined, problem: () => undefined,
};
const url = "ws://127.0.0.1:1/v1/watch";
const connection: Connection = new Connection(url, listener, { form: "json" });
connection.stop();

const opened: Model = await openModel(model);
const stream: Stream = opened.stream({ seed: 1 });
const made = await stream.render(new Resampler(48_000).push(new Float32Array(50_400)));
const every = (frame: Frame) => [frame.seq, frame.index, frame.sample, frame.state, frame.reset,
  [...frame.root], [...frame.rotations],
  [...(frame.positions ?? [])], [...(frame.directions ?? [])]];
console.log(JSON.stringify({
  bin: frames.bin.map(every), json: frames.json.map(every),
  norm: Math.hypot(...pose.rotations.subarray(0, 4)), made: made.length, model: opened.spec.name,
}));
await opened.close();
"""
TSCONFIG = {
    "compilerOptions": {
        "target": "ES2022", "module": "nodenext", "strict": True,
        "exactOptionalPropertyTypes": True, "noUncheckedIndexedAccess": True,
        "outDir": "out", "types": ["node"],
        "lib": ["ES2022", "DOM"],
    },
    "files": ["use.mts"],
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with nothing but the package, installed from its tarball."""
    folder = tmp_path_factory.mktemp("stranger")
    build_package(folder / "package")
    packed = run([tool("npm"), "pack", "--json"], folder / "package")
    assert packed.returncode == 0, packed.stderr
    (told,) = json.loads(packed.stdout[packed.stdout.index("[") :])
    assert told["size"] < 100_000
    assert not [f["path"] for f in told["files"] if f["path"].endswith((".ts", ".map"))
                and not f["path"].endswith(".d.ts")]  # fmt: skip
    home = folder / "home"
    home.mkdir()
    (home / "package.json").write_text('{"name":"stranger","private":true,"type":"module"}')
    tarball = str(folder / "package" / told["filename"])
    done = run([tool("npm"), "install", "--offline", "--ignore-scripts", tarball], home)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in (home / "node_modules" / "@gesture-streamer").iterdir()] == ["client"]
    others = [p.name for p in (home / "node_modules").iterdir() if p.name[0] not in ".@"]
    assert others == [], "it needs nothing else"
    return home


def test_it_has_our_version_and_names_no_path_of_ours() -> None:
    manifest = json.loads((SOURCE / "package" / "package.json").read_text("utf-8"))
    assert manifest["version"] == __version__
    assert "dependencies" not in manifest


def test_a_stranger_compiles_and_uses_it(installed: Path) -> None:
    """Strict types, Node's module rules, the golden streams, a model on onnxruntime-node."""
    require(sys.platform != "win32", "needs symbolic links")
    own = modules()
    for name in ("onnxruntime-node", "onnxruntime-common", "@types/node", "undici-types"):
        link = installed / "node_modules" / name
        link.parent.mkdir(exist_ok=True)
        if (own / name).exists():
            os.symlink(own / name, link, target_is_directory=True)
    (installed / "use.mts").write_text(USE, "utf-8")
    (installed / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    compiled = run([tool("node"), str(own / "typescript" / "bin" / "tsc"), "-p", "."], installed)
    assert compiled.returncode == 0, compiled.stdout
    tiny = GOLDEN / "engine" / "tiny"
    used = run([tool("node"), "out/use.mjs", str(GOLDEN), str(tiny)], installed)
    assert used.returncode == 0, used.stderr
    told = json.loads(used.stdout)
    wanted = [message for message in golden_json() if message["type"] == "frame"]
    assert len(told["bin"]) == len(told["json"]) == len(wanted) >= 4
    for form in ("bin", "json"):
        for got, want in zip(told[form], wanted, strict=True):
            keys = ("seq", "index", "sample", "state", "reset")
            assert got[:5] == [want[key] for key in keys]
            numbers = zip(got[5:], ("root", "rotations", "positions", "directions"), strict=True)
            for values, key in numbers:
                assert values == pytest.approx(want.get(key, []), abs=6e-6)
    assert told["norm"] == pytest.approx(1, abs=1e-6)
    assert told["made"] == 15 - 2
    assert told["model"] == "tiny"
