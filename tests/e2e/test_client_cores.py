"""The Unity and Unreal cores without a network: golden streams, time, axes, garbage.

The same frames at the same times must give the same poses in Python, C# and C++;
what those are is held to hand-computed cases and to rotation matrices here.
"""

import json
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.wire_requests import decode_audio
from tests.clients import probes
from tests.clients.probes import GOLDEN, Report, execute, parse
from tests.serving import schema_of

CORES = ("unity", "unreal")
GOLDEN_STREAMS = ("gesture.v1.json.jsonl", "gesture.v1.bin.golden")


def golden_json() -> list[dict]:
    """Return what the golden JSON stream holds, by the standard library's reader."""
    return [
        json.loads(line) for line in (GOLDEN / GOLDEN_STREAMS[0]).read_text("utf-8").splitlines()
    ]


def golden_binary() -> list[bytes]:
    """Return the binary frames of the golden stream."""
    data, frames, at = (GOLDEN / GOLDEN_STREAMS[1]).read_bytes(), [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<BI", data, at)
        if kind == 2:
            frames.append(data[at + 5 : at + 5 + size])
        at += 5 + size
    return frames


# -- golden streams ------------------------------------------------------------------------------


@pytest.fixture(params=CORES)
def core(request) -> str:
    return request.param


@pytest.fixture(params=GOLDEN_STREAMS)
def decoded(core, request) -> tuple[str, Report]:
    return request.param, parse(probes.run(core, "golden", GOLDEN / request.param))


def test_golden_frames(decoded):
    name, report = decoded
    messages = [m for m in golden_json() if m["type"] == "frame"]
    raw = golden_binary()
    assert len(report.frames) == len(messages) == len(raw)
    for got, message, data in zip(report.frames, messages, raw, strict=True):
        meta = (got.seq, got.index, got.sample, got.state, got.reset)
        assert meta == tuple(message[k] for k in ("seq", "index", "sample", "state", "reset"))
        if name.endswith("jsonl"):
            want = {k: message[k] for k in got.arrays}
        else:
            floats = np.frombuffer(data, "<f4", offset=24)
            want = {"root": floats[:3], "rotations": floats[3 : 3 + 4 * len(BONES)]}
            at = 3 + 4 * len(BONES)
            for key in ("positions", "directions"):
                if key in message:
                    want[key] = floats[at : at + len(message[key])]
                    at += len(message[key])
        assert got.arrays.keys() == want.keys()
        for key, numbers in want.items():
            assert np.array_equal(got.arrays[key], np.array(numbers, np.float32)), key


def test_golden_hello_and_events(decoded):
    _, report = decoded
    hello, *rest = golden_json()
    words = report.lines[0].split(" ")
    assert words[:3] == ["hello", "golden", "15"]
    assert words[3].split(",") == hello["bones"]
    assert [int(p) for p in words[4].split(",")] == hello["parents"]
    assert words[5].split(",") == hello["joints"]
    assert words[6].split(",") == hello["directions"]
    assert float(words[7]) == hello["latency_ms"]["visible"]
    assert np.array_equal(np.array(words[9:], np.float32), np.array(hello["rest"], np.float32))
    schema = schema_of("server")
    events = [line.split(" ", 3) for line in report.lines if line.startswith("event ")]
    for (_, kind, sample, text), want in zip(
        events, [m for m in rest if m["type"] == "event"], strict=True
    ):
        assert (kind, int(sample)) == (want["event"], want["sample"])
        schema.validate(json.loads(text))
        assert json.loads(text) == want
    assert "word 16000 20800 True naïve" in report.lines
    assert "latency 309.75" in report.lines
    assert "warning lag frames are not acknowledged since 1.2 s" in report.lines
    assert "error too many messages; send audio in real time" in report.lines
    assert report.lines.count("other") == 4  # pong and upload


BROKEN = {
    "no JSON": '{"type":"frame",',
    "nothing": "{}",
    "bare": "7",
    "too deep": '{"a":' + "[" * 40 + "]" * 40 + ',"type":"event"}',
    "short rotations": None,
    "infinite": None,
    "unknown state": None,
    "text after it": None,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_messages_are_refused(core, fault, tmp_path):
    lines = (GOLDEN / GOLDEN_STREAMS[0]).read_text("utf-8").splitlines()
    frame = json.loads(lines[1])
    match fault:
        case "short rotations":
            frame["rotations"].pop()
            bad = json.dumps(frame)
        case "infinite":
            bad = lines[1].replace('"root":[', '"root":[1e999,', 1)
        case "unknown state":
            bad = json.dumps({**frame, "state": "singing"})
        case "text after it":
            bad = lines[1] + "{}"
        case _:
            bad = BROKEN[fault]
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{lines[0]}\n{bad}\n", "utf-8")
    program = [*probes.command(core), "golden", str(path)]
    with pytest.raises(AssertionError, match="refused "):
        execute(program)


@pytest.mark.parametrize("fault", ["magic", "short", "long", "state", "nan"])
def test_broken_binary_frames_are_refused(core, fault, tmp_path):
    hello = (GOLDEN / GOLDEN_STREAMS[0]).read_text("utf-8").splitlines()[0].encode()
    frame = bytearray(golden_binary()[0])
    match fault:
        case "magic":
            frame[0] = 0
        case "short":
            frame = frame[:-4]
        case "long":
            frame += bytes(4)
        case "state":
            frame[6] = 3
        case _:
            frame[36:40] = struct.pack("<f", float("nan"))
    path = tmp_path / "broken.golden"
    path.write_bytes(
        struct.pack("<BI", 1, len(hello)) + hello + struct.pack("<BI", 2, len(frame)) + frame
    )
    with pytest.raises(AssertionError, match="refused "):
        execute([*probes.command(core), "golden", str(path)])


def test_what_the_unity_core_says_keeps_to_the_schema():
    *texts, audio = probes.run("unity", "say").splitlines()
    schema = schema_of("client")
    said = [json.loads(text) for text in texts]
    for message in said:
        schema.validate(message)
    assert said[:2] == [{"type": "ack", "seq": 0}, {"type": "ack", "seq": 4294967295}]
    assert said[2] == {"type": "hello", "protocol": "gesture.v1", "options": {}}
    assert said[3]["token"] == 'a "token" \\ of\nsixteen'
    assert said[4:7] == [{"type": "interrupt"}, {"type": "end"}, {"type": "ping", "id": 7}]
    word = {"text": "naïve", "start": 16000, "end": 20800, "final": True}
    assert said[7] == {"type": "word", **word}
    heard = decode_audio(bytes.fromhex(audio), 0.0)
    assert heard.start == 2**33 + 5
    want = np.clip(np.round(np.array([0, 0.5, -1, 1, 2, -2, 0.1]) * 32768), -32768, 32767) / 32768
    assert np.array_equal(heard.samples, want.astype(np.float32))


# -- time ----------------------------------------------------------------------------------------


def quaternions(rng: np.random.Generator, count: int) -> np.ndarray:
    q = rng.normal(size=(count, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def script(
    *,
    seconds: float,
    delay,
    drift: float = 0.0,
    reset_at: int = -1,
    hole: range = range(0),
    updates_fps: float = 60.0,
    more: float = 2.0,
) -> str:
    """Write frames at 15 a second with delays, and updates between, in order of time."""
    rng = np.random.default_rng(5)
    lines = [(0.0, "hello 100 15 2")]
    last = 0.0
    for i in range(int(15 * seconds)):
        sample = round(i * 16000 / 15)
        pose = np.concatenate([rng.normal(size=3), quaternions(rng, 2).ravel()]).round(4)
        values = " ".join(map(repr, pose.tolist()))
        at = last = max(last, sample / 16000 * (1 + drift) + delay(i))
        if i not in hole:
            lines.append((at, f"frame {100 + at!r} {sample} {int(i == reset_at)} {values}"))
    for k in range(int(updates_fps * (seconds + more))):
        at = k / updates_fps + 0.0101
        lines.append((at, f"update {100 + at!r}"))
    return "\n".join(text for _, text in sorted(lines, key=lambda line: line[0])) + "\n"


def jitter(i: int) -> float:
    return 0.03 + 0.02 * ((i * 7919) % 13) / 13


def burst(i: int) -> float:
    """Five frames wait for the last of them, and come at once."""
    return 0.3 - (i - 40) / 15 if 40 <= i < 45 else 0.03


SCRIPTS = {
    "steady": script(seconds=4, delay=lambda i: 0.05),
    "jitter": script(seconds=6, delay=jitter),
    "stall and burst": script(seconds=6, delay=burst),
    "hole": script(seconds=6, delay=jitter, hole=range(30, 36)),
    "long hole": script(seconds=8, delay=jitter, hole=range(30, 70)),
    "reset": script(seconds=5, delay=jitter, reset_at=40),
    "jump": script(seconds=6, delay=lambda i: 0.03 if i < 40 else 0.9),
    "pause": script(seconds=6, delay=lambda i: 0.03 if i < 40 else 10.03, more=12),
    "drift": script(seconds=20, delay=jitter, drift=200e-6),
}


def shown(output: str) -> tuple[np.ndarray, list[str]]:
    """Return [updates, sample weight jitter root rotations] and the modes."""
    rows = [line.split(" ") for line in output.splitlines()]
    numbers = np.array([[*row[:2], *row[3:]] for row in rows], np.float64)
    for start in (6, 10):  # q and -q are the same rotation
        q = numbers[:, start : start + 4]
        q *= np.where(q[np.arange(len(q)), np.abs(q).argmax(1)] < 0, -1, 1)[:, None]
    return numbers, [row[2] for row in rows]


@pytest.mark.parametrize("name", SCRIPTS)
def test_all_clients_show_the_same(name, tmp_path):
    """To 1e-5: they compute in double precision and store floats."""
    path = tmp_path / "script"
    path.write_text(SCRIPTS[name])
    want, modes = shown(probes.run("python", "sim", path))
    assert "live" in modes
    for client in CORES:
        got, their_modes = shown(probes.run(client, "sim", path))
        assert their_modes == modes, client
        assert np.abs(got - want)[:, 0].max() < 0.01, client  # samples
        assert np.abs(got - want)[:, 1:].max() < 1e-5, client


def play(core: str, text: str, tmp_path: Path) -> tuple[np.ndarray, list[str]]:
    path = tmp_path / "script"
    path.write_text(text)
    return shown(probes.run(core, "sim", path))


def test_on_a_steady_stream_the_buffer_adds_one_frame_and_no_more(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["steady"], tmp_path)
    at = np.arange(len(numbers)) / 60 + 0.0101
    live = [i for i, mode in enumerate(modes) if mode == "live"]
    lag = at[live] - numbers[live, 0] / 16000
    assert np.allclose(lag, 0.05 + 1 / 15, atol=0.001)  # samples are rounded to 1/16 ms
    assert numbers[:, 2].max() < 1e-4  # jitter


def test_jitter_costs_what_nine_of_ten_frames_need_and_the_beat_is_even(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["jitter"], tmp_path)
    live = [i for i, mode in enumerate(modes) if mode == "live"]
    assert 0.012 < numbers[live[-1], 2] <= 0.0185  # of 20 ms
    steps = np.diff(numbers[live[30:], 0]) / (16000 / 60)
    assert (np.abs(steps - 1) < 0.07).all()  # twice the slew: nobody sees it


def test_ten_minutes_of_drift_are_followed(core, tmp_path):
    """200 ppm are 120 ms in ten minutes; the lag stays, nothing is skipped or held."""
    text = script(seconds=600, delay=lambda i: 0.05, drift=200e-6, updates_fps=5)
    numbers, modes = play(core, text, tmp_path)
    at = np.arange(len(numbers)) / 5 + 0.0101
    live = [i for i, mode in enumerate(modes) if mode == "live"]
    assert len(live) > 0.98 * 600 * 5
    lag = at[live] - numbers[live, 0] / 16000 * (1 + 200e-6)
    # The least delay of the last 8 s lags a slow sender by 8 s x 200 ppm = 1.6 ms.
    assert np.abs(lag - (0.05 + 1 / 15)).max() < 0.004


def test_a_stream_that_paused_for_long_is_met_at_once(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["pause"], tmp_path)
    at = np.arange(len(numbers)) / 60 + 0.0101
    live = [i for i, mode in enumerate(modes) if mode == "live" and at[i] > 13]
    assert len(live) > 60 * 2
    assert np.allclose(at[live] - numbers[live, 0] / 16000, 10.03 + 1 / 15, atol=0.001)


def test_a_stream_that_is_gone_fades_and_comes_back(core, tmp_path):
    numbers, modes = play(core, SCRIPTS["long hole"], tmp_path)
    order = [modes[0]] + [b for a, b in pairwise(modes) if a != b]
    assert order == ["rest", "live", "held", "rest", "live", "held", "rest"]
    back = modes.index("live", modes.index("rest", modes.index("held")))
    assert numbers[modes.index("held") + 5, 1] == 1
    assert numbers[back, 1] < 1
    # No pose jumps while it comes back: a step is at most what the 0.3 s blend makes.
    step = np.abs(np.diff(numbers[back - 2 : back + 10, 3:6], axis=0)).max()
    assert step < 0.5


# -- axes ----------------------------------------------------------------------------------------


def matrix(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


# Columns: where VRM's +X (the character's left), +Y (up) and +Z (ahead) go.
UNREAL_Y = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]])
UNREAL_X = np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]])
UNITY = np.diag([-1, 1, 1])


def test_unreal_axes():
    rng = np.random.default_rng(3)
    q, p = quaternions(rng, 20), rng.normal(size=(20, 3))
    given = "\n".join(
        " ".join(map(repr, [*a.tolist(), *b.tolist()])) for a, b in zip(q, p, strict=True)
    )
    rows = np.array(
        [line.split() for line in probes.run("unreal", "axes", given=given).splitlines()], float
    )
    for row, a, b in zip(rows, q, p, strict=True):
        for got, basis in ((row[:7], UNREAL_Y), (row[7:], UNREAL_X)):
            assert np.linalg.det(basis) == pytest.approx(-1)  # left-handed
            assert np.allclose(matrix(got[:4]), basis @ matrix(a) @ basis.T, atol=1e-6)
            assert np.allclose(got[4:], 100 * basis @ b, atol=1e-4)


class Avatar:
    """A Unity avatar whose bones stand askew in the T-pose, with nodes in between."""

    def __init__(self, missing: frozenset[str]) -> None:
        rng = np.random.default_rng(11)
        self.names, self.parents, self.rest, self.human = ["root"], [-1], [np.eye(3)], ["-"]
        self.q, self.p = [np.array([0.0, 0, 0, 1])], [np.zeros(3)]
        node_of: dict[str, int] = {}
        for i, bone in enumerate(BONES):
            parent = BONES[PARENTS[i]] if i else None
            while parent in missing:
                parent = BONES[PARENTS[BONES.index(parent)]]
            if bone in missing:
                continue
            at = self._add(f"between {i}".replace(" ", "_"), node_of.get(parent, 0), rng, "-")
            node_of[bone] = self._add(bone, at, rng, unity_name(bone))
        self.node_of = node_of

    def _add(self, name: str, parent: int, rng: np.random.Generator, human: str) -> int:
        self.names.append(name)
        self.parents.append(parent)
        self.q.append(quaternions(rng, 1)[0].astype(np.float32))
        self.p.append(rng.normal(size=3).astype(np.float32))
        self.rest.append(self.rest[parent] @ matrix(self.q[-1]))
        self.human.append(human)
        return len(self.names) - 1

    def script(self) -> str:
        return "".join(
            f"node {name} {self.names[parent] if parent >= 0 else '-'} "
            f"{' '.join(map(str, [*q, *p]))} {human}\n"
            for name, parent, q, p, human in zip(
                self.names, self.parents, self.q, self.p, self.human, strict=True
            )
        )

    def world(self, local: np.ndarray) -> list[np.ndarray]:
        """Return each node's rotation in the avatar's space."""
        world: list[np.ndarray] = []
        for q, parent in zip(local, self.parents, strict=True):
            world.append((world[parent] if parent >= 0 else np.eye(3)) @ matrix(q))
        return world


def unity_name(bone: str) -> str:
    name = bone[0].upper() + bone[1:]
    if "Thumb" in name:
        return name.replace("Proximal", "Intermediate").replace("Metacarpal", "Proximal")
    return name


@pytest.mark.parametrize("missing", [frozenset(), frozenset({"upperChest", "leftShoulder"})])
def test_unity_avatar_takes_the_pose_whatever_its_bones_look_like(missing, tmp_path):
    """World rotations relative to the T-pose must be the stream's, in Unity's axes."""
    probes.need_mono()
    avatar = Avatar(missing)
    rotations = quaternions(np.random.default_rng(2), len(BONES)).astype(np.float32)
    root = [0.1, 0.02, -0.05]
    pose = " ".join(map(str, [*rotations.ravel(), *root]))
    height = 2.0
    text = avatar.script() + f"hello {','.join(BONES)} {','.join(map(str, PARENTS))} {height}\n"
    text += f"frame 0.0 {pose}\nlate 0.02\n"
    for i in range(1, 30):  # until it is faded in
        text += f"frame {i / 15} {pose}\nlate {i / 15 + 0.02}\n"
    path = tmp_path / "script"
    path.write_text(text)
    rows = [
        np.array(line.split(), float).reshape(-1, 7)
        for line in execute(["mono", str(probes.unity_thin()), str(path)]).splitlines()
    ]
    world = avatar.world(rows[-1][:, :4])
    want: list[np.ndarray] = []
    for i, bone in enumerate(BONES):
        above = want[PARENTS[i]] if i else np.eye(3)
        want.append(above @ UNITY @ matrix(rotations[i]) @ UNITY)
        if bone not in missing:
            node = avatar.node_of[bone]
            turned = world[node] @ avatar.rest[node].T
            assert np.allclose(turned, want[i], atol=1e-4), bone
    hips = avatar.node_of["hips"]
    above = avatar.parents[hips]
    moved = avatar.rest[above] @ (rows[-1][hips, 4:] - avatar.p[hips])
    at_rest = avatar.rest[above] @ avatar.p[hips] + avatar.p[above]
    scale = at_rest[1] / height if at_rest[1] > 0 else 1
    assert np.allclose(moved, UNITY @ root * scale, atol=1e-4)
    # Without an Animator that writes, a fade must not pile up: the last two agree.
    assert np.allclose(rows[-1], rows[-2], atol=1e-5)
    # Nodes between the bones stay as they are.
    for node, human in enumerate(avatar.human):
        if human == "-":
            assert np.allclose(rows[-1][node, :4], avatar.q[node])


# -- what it costs -------------------------------------------------------------------------------


def test_unity_core_makes_no_garbage():
    output = probes.run("unity", "garbage", GOLDEN / GOLDEN_STREAMS[1], "3000")
    control, made, collections, rounds, micros = output.split()
    assert int(control) >= 1_000_000  # the measure sees a million bytes
    assert int(made) == 0
    assert int(collections) == 0
    assert int(rounds) == 3000
    assert float(micros) < 20_000


def test_unreal_core_allocates_nothing():
    made, rounds, micros = probes.run(
        "unreal", "garbage", GOLDEN / GOLDEN_STREAMS[1], "3000"
    ).split()
    assert (made, rounds) == ("0", "3000")
    assert float(micros) < 20_000


# -- the thin layer of Unreal --------------------------------------------------------------------


def test_live_link_source_on_stand_ins():
    """It pushes names once, a pose an update, acknowledges, and comes back; not after 4401."""
    lines = execute([str(probes.unreal_live_link()), str(GOLDEN / GOLDEN_STREAMS[1])]).splitlines()
    assert lines[0] == "socket ws://127.0.0.1:8765/v1/watch gesture.v1.bin"
    words = lines[1].split(" ")[2:]
    assert tuple(words[::2]) == BONES
    assert tuple(map(int, words[1::2])) == PARENTS
    sent = [json.loads(line.removeprefix("sent ")) for line in lines if line.startswith("sent ")]
    assert [m["seq"] for m in sent[:-1]] == [
        m["seq"] for m in golden_json() if m["type"] == "frame"
    ]
    assert sent[-1] == {"type": "ping", "id": 1}
    schema = schema_of("client")
    for message in sent:
        schema.validate(message)
    poses = [np.array(line.split(" ")[1:], float) for line in lines if line.startswith("pose ")]
    assert len(poses) == len(golden_json()) + 6
    last = poses[-1][2:].reshape(-1, 7)
    final = [m for m in golden_json() if m["type"] == "frame"][-1]
    rest = REST_OFFSETS.copy()
    rest[0] += final["root"]
    assert np.allclose(last[:, 4:], 100 * rest @ UNREAL_Y.T, atol=1e-3)
    for got, q in zip(last[:, :4], np.array(final["rotations"]).reshape(-1, 4), strict=True):
        assert np.allclose(matrix(got), UNREAL_Y @ matrix(q) @ UNREAL_Y.T, atol=1e-4)
    plain = [line for line in lines if line.startswith(("status", "sockets", "shutdown"))]
    assert plain == [
        "status Receiving",
        "status the server stops",
        "sockets 2",
        "status The engine has fallen silent",
        "sockets 3",
        "sockets 3",
        "shutdown 1",
    ]
    greeting = json.loads(lines[-1].removeprefix("greeting "))
    schema.validate(greeting)
    assert greeting["token"] == 'a "token" of sixteen'
    assert poses[-1][1] == 0  # the weight, a minute after the last frame
