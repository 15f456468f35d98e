"""The Unity and Unreal folders are what their package managers expect."""

import json
import re
from pathlib import Path

from streamer import __version__

CLIENTS = Path(__file__).parents[2] / "clients"
UNITY = CLIENTS / "unity"
UNREAL = CLIENTS / "unreal"


def test_versions_are_ours():
    assert json.loads((UNITY / "package.json").read_text())["version"] == __version__
    assert (
        json.loads((UNREAL / "GestureStreamer.uplugin").read_text())["VersionName"] == __version__
    )


def test_every_asset_of_the_unity_package_has_its_own_id():
    """Without a .meta file Unity ignores an asset of a package that it may not write to."""
    guids = list[str]()
    assets = [
        path
        for path in UNITY.rglob("*")
        if path.suffix != ".meta" and not any(part.endswith("~") for part in path.parts)
    ]
    assert len(assets) > 20
    for path in assets:
        meta = path.with_name(path.name + ".meta").read_text()
        found = re.fullmatch(
            r"fileFormatVersion: 2\nguid: ([0-9a-f]{32})\n(folderAsset: yes\n)?", meta
        )
        assert found, path
        assert bool(found[2]) == path.is_dir()
        guids.append(found[1])
    assert len(set(guids)) == len(guids)
    metas = list(UNITY.rglob("*.meta"))
    assert all(path.with_suffix("").exists() for path in metas)


def test_assemblies_refer_to_each_other_and_the_core_to_nobody():
    found = {
        definition["name"]: definition
        for definition in (json.loads(path.read_text()) for path in UNITY.rglob("*.asmdef"))
    }
    core = found["GestureStreamer.Core"]
    assert core["noEngineReferences"]
    assert not core.get("references")
    assert found["GestureStreamer.Net"]["noEngineReferences"]
    for definition in found.values():
        assert set(definition.get("references", [])) <= found.keys()


def test_the_unity_core_uses_neither_reflection_nor_dynamic_code():
    """IL2CPP strips and forbids them."""
    forbidden = re.compile(
        r"System\.Reflection|\bdynamic\b|Activator\.|Type\.GetType|\.GetMethod\(|Linq|Expression<|typeof"
    )
    files = [*UNITY.glob("Runtime/Core/*.cs"), *UNITY.glob("Runtime/Net/*.cs")]
    assert len(files) > 10
    for path in files:
        assert not forbidden.search(path.read_text("utf-8")), path
        assert "UnityEngine" not in path.read_text("utf-8")


def test_the_sample_that_the_package_names_exists():
    for sample in json.loads((UNITY / "package.json").read_text())["samples"]:
        assert (UNITY / sample["path"]).is_dir()


def test_the_unreal_core_needs_no_unreal_and_throws_nothing():
    headers = [*UNREAL.glob("Source/GestureStreamer/Public/gesture/*.hpp")]
    assert len(headers) == 6
    for path in headers:
        text = path.read_text("utf-8")
        assert not re.search(r"\bthrow\b|\btry\b|dynamic_cast|typeid|CoreMinimal", text), path
        assert "#pragma once" in text
