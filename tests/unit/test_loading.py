from pathlib import Path

import pytest

from streamer.backends.loading import built_in_models, choose_backend, find_artifact, open_backend
from streamer.errors import UsageError
from tests.fakes import tiny_artifact


def test_a_folder_and_a_built_in_name_are_found(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "mine")
    assert find_artifact(str(folder)) == folder
    for name, built_in in built_in_models().items():
        assert find_artifact(name) == built_in


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        find_artifact(str(tmp_path))
    with pytest.raises(UsageError, match="'nonesuch': neither a folder nor a built-in"):
        find_artifact("nonesuch")


def test_auto_says_what_it_took_and_why(tmp_path: Path) -> None:
    choice = choose_backend("auto", tiny_artifact(tmp_path / "m"))
    assert choice.name == "onnxruntime"
    assert "CPU" in choice.reason
    backend = choice.make()
    assert (backend.name, backend.spec.name) == ("onnxruntime", "m")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("torch", r"m has no model\.pt2"), ("tensorrt", "does not have"), ("jax", "there are auto")],
)
def test_back_ends_that_are_not_there(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"--backend {name}: .*{reason}.*--backend auto"):
        open_backend(name, tiny_artifact(tmp_path / "m"))
