"""Writes `ted_gesture.zip` and `ted_expressive.zip`: LMDBs as the datasets' authors publish them.

Their records are what `pyarrow.serialize` of 0.14.1 wrote, which needs an old
Python (3.7 here) in an environment of its own:

    python3.7 -m venv old
    old/bin/pip install pyarrow==0.14.1 numpy==1.16.6 lmdb==1.0.0
    old/bin/python tests/golden/ted_lmdb/make.py

Each archive holds the three splits and `expected.npz`: the arrays of every
record as `pyarrow.deserialize` gives them back, by `split/record/clip/field`,
and under `records` all the rest as JSON.

With the argument `values` it writes `values_VERSION.bin` instead, one value of
every type, on whatever pyarrow it runs; 0.14.1, 0.17.1 (Python 3.7) and 11.0.0
(Python 3.11, numpy<2) were used.

Motion and sound are made up; the first clip is good, the second has one word,
in the third the hands rest.
"""

import io
import json
import os
import sys
import tempfile
import warnings
import zipfile

import numpy as np
import pyarrow

warnings.simplefilter("ignore")

HERE = os.path.dirname(os.path.abspath(__file__))
POSES = os.path.join(HERE, "..", "..", "..", "training", "data", "mean_poses.json")
SECONDS = 3.2
FPS = {"ted_gesture": 25.0, "ted_expressive": 30.0}
WRISTS = {"ted_gesture": (6, 9), "ted_expressive": (6, 7)}
FOLDERS = {
    "ted_gesture": ("lmdb_train", "lmdb_val", "lmdb_test"),
    "ted_expressive": ("train", "val", "test"),
}


def clip(kind, generator, start, words, moves):
    frames = round(SECONDS * FPS[kind])
    with open(POSES) as file:
        mean = np.array(json.load(file)[kind])
    at = np.arange(frames) / FPS[kind]
    poses = np.tile(mean, (frames, 1, 1)) + generator.normal(0, 0.03, mean.shape)
    for number, wrist in enumerate(WRISTS[kind]):
        swing = np.sin(2 * np.pi * 0.8 * at + number)
        poses[:, wrist] += (0.12 if moves else 0.001) * swing[:, None]
    clock = np.arange(int(SECONDS * 16000)) / 16000.0
    audio = 0.1 * np.sin(2 * np.pi * 150 * clock) * (1 + np.sin(2 * np.pi * 3 * clock))
    columns = 1 + len(audio) // 512
    mel = -80 * generator.uniform(0, 1, (8, columns)).repeat(16, 0)
    out = {
        "words": [[w, start + 0.3 + 0.5 * i, start + 0.6 + 0.5 * i] for i, w in enumerate(words)],
        "skeletons": [],
        "skeletons_3d": np.round(poses, 4),
        "audio_feat": np.round(mel).astype(np.float16),
        "audio_raw": np.round(audio, 3).astype(np.float16),
        "start_frame_no": int(start * FPS[kind]),
        "end_frame_no": int((start + SECONDS) * FPS[kind]),
        "start_time": start,
        "end_time": start + SECONDS,
    }
    return out


def records(kind):
    generator = np.random.RandomState(5)
    long, short = ["so", "here", "is", "a", "gesture"], ["well"]
    clips = [
        clip(kind, generator, 12.48, long, True),
        clip(kind, generator, 40.0, short, True),
        clip(kind, generator, 71.2, long, False),
    ]
    out = {0: [{"vid": "dQw4w9WgXcQ", "clips": clips}]}
    out[1] = [{"vid": "dQw4w9WgXcQ", "clips": [clip(kind, generator, 90.0, long[::-1], True)]}]
    out[2] = [{"vid": "another_one", "clips": [clip(kind, generator, 5.0, long, True)]}]
    if kind == "ted_expressive":
        for record in out[0] + out[1] + out[2]:
            record["framerate"] = FPS[kind]
    return out


def main():
    assert pyarrow.__version__ == "0.14.1", pyarrow.__version__
    for kind, folders in FOLDERS.items():
        arrays, rest = {}, {}
        path = os.path.join(HERE, kind + ".zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, folder in enumerate(folders):
                back = write_split(archive, folder, records(kind)[number])
                for key, record in back.items():
                    for c, fields in enumerate(record["clips"]):
                        for field in ("skeletons_3d", "audio_feat", "audio_raw"):
                            arrays[f"{key}/{c}/{field}"] = fields.pop(field)
                rest.update(back)
            buffer = io.BytesIO()
            np.savez_compressed(buffer, records=json.dumps(rest), **arrays)
            archive.writestr("expected.npz", buffer.getvalue())
        print(path, os.path.getsize(path))


def write_split(archive, folder, split):
    """Write one split's LMDB into the archive; return what pyarrow reads back."""
    import lmdb

    back = {}
    with tempfile.TemporaryDirectory() as scratch:
        environment = lmdb.open(scratch, map_size=1 << 24)
        with environment.begin(write=True) as transaction:
            for index, record in enumerate(split):
                data = pyarrow.serialize(record).to_buffer()
                key = f"{index:010}"
                transaction.put(key.encode("ascii"), data)
                back[folder + "/" + key] = pyarrow.deserialize(data)
        environment.close()
        archive.write(os.path.join(scratch, "data.mdb"), folder + "/data.mdb")
    return back


def values():
    return {
        "text": "caf\u00e9",
        "none": None,
        "flags": [True, False],
        "numbers": [7, -(2**40), 0.1, np.float32(3.5), np.int64(5), np.float16(0.25)],
        "bytes": b"\x00\x01",
        "tuple": (1, "two"),
        "nested": [1, "x", None, 2.5, [], {}, [[["deep"]]], {"a": {"b": [None]}}],
        "arrays": [
            np.arange(24, dtype=np.float32).reshape(2, 4, 3),
            np.arange(6, dtype=np.float64).reshape(2, 3).T,
            np.array([0.1, -0.2], np.float16),
            np.zeros((0, 3)),
            np.arange(5, dtype=np.int16),
            np.arange(5, dtype=np.uint8)[::2],
        ],
        "empty": {},
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["values"]:
        with open(os.path.join(HERE, f"values_{pyarrow.__version__}.bin"), "wb") as out:
            out.write(pyarrow.serialize(values()).to_buffer().to_pybytes())
    else:
        main()
