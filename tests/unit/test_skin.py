"""Any VRM's skin: small ones built here, the real ones of the shared data, damaged ones."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.avatar import read_avatar
from streamer.errors import InputError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.recordings.drawing import Camera, Painter
from streamer.recordings.skin import load_mannequin, read_skin
from streamer.recordings.textures import read_textures
from streamer.recordings.video import VideoWriter, camera_for, find_ffmpeg
from streamer.retarget_inverse import bone_frames
from tests.support import require
from tests.takes import take
from tests.vrm import glb, humanoid_nodes, vrm0, vrm1

REST = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
STILL = np.zeros(3, np.float32)


def png(red: tuple[int, ...], blue: tuple[int, ...]) -> bytes:
    """Return a picture whose left half has one colour and whose right half another."""
    require(shutil.which("ffmpeg") is not None, "needs the system package ffmpeg")
    row = bytes(red) * 8 + bytes(blue) * 8
    made = subprocess.run(
        [
            *("ffmpeg", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "16x16"),
            *("-i", "pipe:0", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"),
        ],
        input=row * 16,
        capture_output=True,
        check=True,
    )
    return made.stdout


class Built:
    """A VRM with one square, half a metre wide, facing the way the body does."""

    def __init__(self, *, turned: bool = False, bone: str = "leftHand", image: bytes = b"") -> None:
        self.nodes = humanoid_nodes(turned=turned)
        self.blob = b""
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []
        f = -1.0 if turned else 1.0
        corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], "<f4") * 0.25
        corners[:, 0] *= f
        normals = np.tile(np.array([0, 0, f], "<f4"), (4, 1))
        uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], "<f4")
        order = np.array([0, 1, 2, 0, 2, 3], "<u2")
        self.primitive = {
            "attributes": {
                "POSITION": self.add(corners, 5126, "VEC3"),
                "NORMAL": self.add(normals, 5126, "VEC3"),
                "TEXCOORD_0": self.add(uv, 5126, "VEC2"),
            },
            "indices": self.add(order, 5123, "SCALAR"),
            "material": 0,
        }
        at = next(i for i, n in enumerate(self.nodes) if n.get("name") == bone)
        self.nodes[at]["mesh"] = 0
        self.document = (vrm0 if turned else vrm1)(self.nodes)
        paint: dict[str, Any] = {"baseColorFactor": [1, 1, 1, 1]}
        self.document["materials"] = [{"pbrMetallicRoughness": paint, "doubleSided": True}]
        if image:
            self.views.append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(image)})
            self.blob += image
            self.document["images"] = [{"bufferView": len(self.views) - 1, "mimeType": "image/png"}]
            self.document["textures"] = [{"source": 0}]
            paint["baseColorTexture"] = {"index": 0}
        self.document |= {
            "meshes": [{"primitives": [self.primitive]}],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.blob)}],
        }

    def add(self, values: np.ndarray, component: int, kind: str) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": values.nbytes})
        entry = {"bufferView": len(self.views) - 1, "componentType": component}
        self.accessors.append({**entry, "count": len(values), "type": kind})
        self.blob += values.tobytes() + b"\0" * (-values.nbytes % 4)
        return len(self.accessors) - 1

    def write(self, folder: Path) -> Path:
        path = folder / "a.vrm"
        path.write_bytes(glb(json.loads(json.dumps(self.document)), binary=self.blob))
        return path


@pytest.mark.parametrize("turned", [False, True])
def test_a_rigid_piece_goes_with_its_bone(tmp_path: Path, turned: bool) -> None:
    skin = read_skin(Built(turned=turned).write(tmp_path))
    hand = BONE_INDEX["leftHand"]
    np.testing.assert_allclose(skin.vertices.mean(0), skin.rest[hand], atol=1e-5)
    assert skin.vertices[:, 2].std() < 1e-6  # it faces forwards
    np.testing.assert_allclose(skin.normals, np.tile([0, 0, 1], (4, 1)), atol=1e-6)
    rotations = take(3).rotations[2]
    moved, _ = skin.posed(rotations, STILL)
    places, _ = bone_frames(rotations, skin.offsets)
    np.testing.assert_allclose(moved.mean(0), places[hand], atol=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_pictures_are_seen_the_right_way_round(tmp_path: Path, turned: bool) -> None:
    """Red is at the picture's left, u = 0: on the right side of the character, our left."""
    built = Built(turned=turned, bone="spine", image=png((255, 0, 0, 255), (0, 0, 255, 255)))
    skin = read_skin(built.write(tmp_path))
    textures = read_textures(skin.materials, find_ffmpeg())
    camera = Camera(centre=(0, float(skin.rest[1, 1]), 0), distance=3, field=1.0)
    paint = Painter(skin, width=48, height=48, camera=camera, textures=textures)
    picture = paint(REST, STILL).astype(int)
    red, blue = picture[24, 16], picture[24, 32]
    assert red[0] > 100 > red[2] + 40
    assert blue[2] > 100 > blue[0] + 40


def test_holes_of_a_picture_show_what_is_behind(tmp_path: Path) -> None:
    built = Built(bone="spine", image=png((255, 0, 0, 0), (255, 0, 0, 255)))
    built.document["materials"][0]["alphaMode"] = "MASK"
    skin = read_skin(built.write(tmp_path))
    camera = Camera(centre=(0, float(skin.rest[1, 1]), 0), distance=3, field=1.0)
    textures = read_textures(skin.materials, find_ffmpeg())
    picture = Painter(skin, width=48, height=48, camera=camera, textures=textures)(REST, STILL)
    assert np.abs(picture[24, 16].astype(int) - picture[24, 2]).max() < 12  # the backdrop
    assert picture[24, 32, 0] > 100


@pytest.mark.parametrize("name", ["Godette_vrm_v4", "debug_robot_vrm1", "cryptovoxels"])
def test_real_avatars_stand_on_the_ground_and_fill_the_picture(shared: Path, name: str) -> None:
    path = shared / "data" / "avatars" / f"{name}.vrm"
    skin, avatar = read_skin(path), read_avatar(path)
    np.testing.assert_allclose(skin.weights.sum(1), 1, atol=1e-5)
    assert abs(skin.vertices[:, 1].min()) < 0.2  # the robot's feet are boxes about its ankles
    head = BONE_INDEX["head"]
    near = skin.weights[:, head] > 0.9
    assert near.sum() > 3
    assert np.linalg.norm(skin.vertices[near].mean(0) - skin.rest[head]) < 0.4
    for bone in avatar.bones:
        if bone in BONE_INDEX:
            wanted = avatar.bones[bone].world_position
            np.testing.assert_allclose(skin.rest[BONE_INDEX[bone]], wanted, atol=1e-4)
    picture = Painter(skin, width=64, height=64, camera=camera_for(skin))(REST, STILL).astype(int)
    body = np.abs(picture - picture[:, :1]).max(-1) > 12
    assert 0.05 < body.mean() < 0.8


def test_the_mannequin_is_read_by_the_same_reader() -> None:
    skin = load_mannequin()
    assert skin.size == pytest.approx(1, abs=1e-5)
    assert len(skin.materials) > 3
    assert all(m.image is None for m in skin.materials)


def damaged(built: Built, way: str) -> None:
    document, primitive = built.document, built.primitive
    match way:
        case "beyond the file":
            built.accessors[0]["count"] = 4_000
        case "a huge count":
            built.accessors[0]["count"] = 2**40
        case "a corner that is not there":
            built.blob = built.blob[: built.views[3]["byteOffset"]] + b"\xff\xff" * 8
        case "NaN":
            built.blob = struct.pack("<f", np.nan) + built.blob[4:]
        case "compressed":
            document["extensionsUsed"] = ["KHR_draco_mesh_compression"]
        case "no mesh":
            document["meshes"] = [{"primitives": []}]
        case "another count":
            built.accessors[2]["count"] = 3
        case "a circle":
            built.nodes[5].setdefault("children", []).append(0)
        case "sparse":
            built.accessors[0]["sparse"] = {}
        case "no accessor":
            primitive["attributes"]["POSITION"] = 99


@pytest.mark.parametrize(
    "way",
    [
        "beyond the file",
        "a huge count",
        "a corner that is not there",
        "NaN",
        "compressed",
        "no mesh",
        "another count",
        "a circle",
        "sparse",
        "no accessor",
    ],
)
def test_damaged_files_are_one_clear_error(tmp_path: Path, way: str) -> None:
    built = Built()
    damaged(built, way)
    with pytest.raises(InputError, match=r"a\.vrm"):
        read_skin(built.write(tmp_path))


def test_a_picture_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    require(shutil.which("ffmpeg") is not None, "needs the system package ffmpeg")
    skin = read_skin(Built(image=b"no picture at all").write(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        read_textures(skin.materials, find_ffmpeg())


def test_a_bad_avatar_is_told_of_before_anything_is_drawn(tmp_path: Path) -> None:
    require(shutil.which("ffmpeg") is not None, "needs the system package ffmpeg")
    built = Built()
    damaged(built, "compressed")
    with pytest.raises(InputError, match="export it without"):
        VideoWriter(tmp_path / "a.mp4", avatar=built.write(tmp_path))
