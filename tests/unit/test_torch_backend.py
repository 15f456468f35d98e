"""Programs that cannot run; the laws are in `tests/contract/test_torch_backend.py`."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamer.backends.torch import TorchBackend
from streamer.errors import ArtifactError
from streamer.spec import load_manifest, sha256, write_manifest
from tests.fakes import tiny_artifact


def test_a_program_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    (folder / "model.pt2").write_bytes(b"anything")
    with pytest.raises(ArtifactError, match=r"lists no model\.pt2; .*--pt2"):
        TorchBackend(folder)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    path = folder / "model.pt2"
    path.write_bytes(b"not a program")
    manifest = load_manifest(folder)
    write_manifest(folder, replace(manifest, files={**manifest.files, path.name: sha256(path)}))
    with pytest.raises(ArtifactError, match="cannot load it"):
        TorchBackend(folder)
