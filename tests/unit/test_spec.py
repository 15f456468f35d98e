"""Manifests: read back as written, and every damage is named."""

import json
from pathlib import Path

import pytest

from streamer.errors import ArtifactError
from streamer.spec import Manifest, load_manifest, sha256, write_manifest
from tests.fakes import tiny_spec


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    manifest = Manifest(
        spec=tiny_spec(),
        licence="Apache-2.0",
        training={"seed": 1},
        files={"model.onnx": sha256(tmp_path / "model.onnx")},
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def damage(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(artifact: Path):
    manifest = load_manifest(artifact)
    spec = tiny_spec()
    assert manifest.spec.state == spec.state
    assert manifest.spec.inputs == spec.inputs
    assert manifest.spec.fps == spec.fps
    assert manifest.training == {"seed": 1}
    assert manifest.spec.default_style == spec.default_style


def test_two_loads_of_one_artifact_are_equal(artifact: Path):
    """A back end may only take over from one that runs the same model."""
    assert load_manifest(artifact).spec == load_manifest(artifact).spec
    damage(artifact, fps=[30, 1])
    assert load_manifest(artifact).spec != tiny_spec()


def test_the_digest_covers_every_file(artifact: Path):
    before = load_manifest(artifact).digest
    (artifact / "model.onnx").write_bytes(b"other")
    damage(artifact, files={"model.onnx": sha256(artifact / "model.onnx")})
    assert load_manifest(artifact).digest != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99, expected 1"),
        ({"fps": [15, 0]}, "malformed"),
        ({"default_lookahead": 7}, "default_lookahead"),
        ({"default_style": "bold"}, "default_style"),
        ({"inputs": [{"name": "audio", "shape": [0], "dtype": "float32"}]}, "malformed"),
        ({"state": [{"name": "h", "shape": [4], "dtype": "float64"}]}, "float64"),
        ({"skeleton": {}}, "skeleton"),
        ({"files": {"../model.onnx": "0"}}, "leaves the artifact folder"),
        ({"files": {"gone.onnx": "0"}}, "missing"),
        ({"files": {"model.onnx": "0" * 64}}, "does not match"),
    ],
)
def test_damage_is_named(artifact: Path, changes: dict[str, object], message: str):
    damage(artifact, **changes)
    with pytest.raises(ArtifactError, match=message):
        load_manifest(artifact)


def worded(folder: Path, text: str) -> None:
    """Make the artifact one of a vocabulary of 64 rows."""
    (folder / "vocabulary.json").write_text(text)
    files = {n: sha256(folder / n) for n in ("model.onnx", "vocabulary.json")}
    damage(folder, files=files, words={"kind": "vocabulary", "buckets": 64, "slots": 1})


def test_a_vocabulary_comes_from_its_file(artifact: Path):
    assert load_manifest(artifact).spec.words.kind == "hashed"
    worded(artifact, '{"<UNK>": 3, "so": 4}')
    words = load_manifest(artifact).spec.words
    assert words.kind == "vocabulary"
    assert words.index == {"<UNK>": 3, "so": 4}


def test_a_manifest_from_before_there_was_a_choice_is_hashed(artifact: Path):
    damage(artifact, words={"buckets": 64, "slots": 4})
    assert load_manifest(artifact).spec.words == tiny_spec().words


@pytest.mark.parametrize("text", ["[1]", "{", '{"so": 64}', '{"so": "x"}'])
def test_a_bad_vocabulary_is_named(artifact: Path, text: str):
    worded(artifact, text)
    with pytest.raises(ArtifactError, match=r"vocabulary\.json"):
        load_manifest(artifact)


def test_a_vocabulary_must_be_among_the_files(artifact: Path):
    damage(artifact, words={"kind": "vocabulary", "buckets": 64, "slots": 1})
    with pytest.raises(ArtifactError, match=r"lists no vocabulary\.json"):
        load_manifest(artifact)
    damage(artifact, words={"kind": "letters", "buckets": 64, "slots": 1})
    with pytest.raises(ArtifactError, match="letters"):
        load_manifest(artifact)


def test_not_a_manifest(tmp_path: Path):
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ArtifactError, match="JSON object"):
        load_manifest(tmp_path)
