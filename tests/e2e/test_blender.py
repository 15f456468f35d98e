"""Our BVH in Blender itself, without a window: every joint is where the pose says.

Slow, and Blender is large: `pip install bpy==4.5.*` first (370 MB), then `-m slow`.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamer.bone_map import read_bone_map
from streamer.humanoid import BONE_INDEX, BONES
from streamer.recordings.bvh import bvh_name, bvh_text
from streamer.recordings.take import TakeRig, even_motion
from streamer.retarget_inverse import bone_frames
from tests.support import require
from tests.takes import take

SCRIPT = """
import json, sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_anim.bvh(filepath=sys.argv[1], global_scale=0.01, update_scene_fps=True,
                        update_scene_duration=True)
rig = bpy.context.object
heads = []
for frame in map(int, sys.argv[2].split(",")):
    bpy.context.scene.frame_set(frame)
    heads.append({b.name: list(rig.matrix_world @ b.head) for b in rig.pose.bones})
print("HEADS" + json.dumps({"fps": bpy.context.scene.render.fps, "heads": heads}))
"""
MAP = "[bones]\n" + "".join(f'{bone} = "rig_{bone}"\n' for bone in BONES)
TURNED = MAP + "[tpose]\nleftUpperArm = [0, 0, 40]\nspine = [90, 0, 0]\n"


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["mannequin", "a rig with axes of its own"])
def test_blender_puts_every_joint_where_we_do(tmp_path: Path, own: bool) -> None:
    require(importlib.util.find_spec("bpy") is not None, "needs Blender: pip install bpy==4.5.*")
    source = take(45)
    (tmp_path / "map.toml").write_text(TURNED)
    rig = TakeRig.of(read_bone_map(tmp_path / "map.toml") if own else None)
    (tmp_path / "a.bvh").write_text(bvh_text(even_motion(source, 15.0), rig))
    asked = [0, 7, 20, 44]
    frames = ",".join(str(n + 1) for n in asked)  # Blender counts from 1
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "a.bvh"), frames],
        capture_output=True,
        text=True,
        timeout=280,
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("HEADS")), None)
    assert line is not None, done.stdout + done.stderr
    seen = json.loads(line.removeprefix("HEADS"))
    assert seen["fps"] == 15
    places, _ = bone_frames(source.rotations)
    for n, heads in zip(asked, seen["heads"], strict=True):
        for bone in BONES:
            x, y, z = places[n, BONE_INDEX[bone]] + source.root[n]
            got = heads[f"rig_{bone}" if own else bvh_name(bone)]
            np.testing.assert_allclose(got, [x, -z, y], atol=1e-4, err_msg=bone)
