import tomllib
from pathlib import Path

import pytest

from streamer.comfort_settings import Settings
from streamer.errors import ConfigError, UsageError
from streamer.profiles import ProfileStore

DIGEST = "ab" * 32


def test_what_was_saved_is_loaded_for_that_avatar_only(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles")
    assert store.load(DIGEST) == Settings()
    wanted = Settings(amplitude=0.75, filter="one_euro", torso_radius=0.16, left=0.0)
    path = store.save(DIGEST, wanted)
    assert store.load(DIGEST) == wanted
    assert store.load(None) == Settings()
    assert store.load("cd" * 32) == Settings()
    values = tomllib.loads(path.read_text("utf-8"))
    assert (values["amplitude"], values["filter"]) == (0.75, "one_euro")
    assert [p.name for p in path.parent.iterdir()] == [path.name], "no half-written file is left"


def test_what_is_set_for_a_moment_is_not_kept(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    store.save(None, Settings(still=True, lock_left=True, mood="thinking", energy=1.5))
    assert store.load(None) == Settings(energy=1.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"amplitude = 9\n", "amplitude: 9, expected"),
        (b"amplitude = \n", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"loud = 1\n", "no setting 'loud'"),
        (b"[left]\nx = 1\n", "left"),
        (b"#" * 70_000, "larger than 64 kB"),
    ],
)
def test_broken_profiles_are_named(tmp_path: Path, text: bytes, said: str) -> None:
    store = ProfileStore(tmp_path)
    store.path(DIGEST).write_bytes(text)
    with pytest.raises(ConfigError, match=said) as error:
        store.load(DIGEST)
    assert str(store.path(DIGEST)) in str(error.value)


def test_a_digest_is_never_a_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not hexadecimal"):
        ProfileStore(tmp_path).path("../../etc/passwd")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        ProfileStore(tmp_path / "file").save(None, Settings())
