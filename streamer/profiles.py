"""Settings that belong to an avatar, as TOML files in the user's data folder."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from streamer.comfort_settings import Settings, as_mapping, changed
from streamer.errors import ConfigError, UsageError

_DIGEST: Final = re.compile("[0-9a-f]{16,64}")
_MANNEQUIN: Final = "mannequin"

# What a person sets for a moment does not come back with the avatar.
_PASSING: Final = ("still", "mood", "lock_left", "lock_right")
_LONGEST: Final = 64 * 1024


class ProfileStore:
    """One file for each avatar, by its digest. Its methods do disk work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str | None) -> Path:
        """Return where an avatar's profile is; None for the mannequin."""
        if sha256 is not None and not _DIGEST.fullmatch(sha256):
            raise UsageError(f"avatar digest {sha256!r:.40} is not hexadecimal")
        return self._folder / f"{_MANNEQUIN if sha256 is None else sha256[:16]}.toml"

    def has(self, sha256: str | None) -> bool:
        """Whether an avatar has settings of its own."""
        return self.path(sha256).is_file()

    def load(self, sha256: str | None) -> Settings:
        """Return an avatar's settings, neutral if it has none yet; raises `ConfigError`."""
        path = self.path(sha256)
        try:
            with path.open("rb") as file:
                text = file.read(_LONGEST + 1)
        except FileNotFoundError:
            return Settings()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        if len(text) > _LONGEST:
            raise ConfigError(f"{path}: larger than {_LONGEST >> 10} kB; delete it")
        try:
            values: dict[str, Any] = tomllib.loads(text.decode())
            return changed(Settings(), values)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        except UsageError as error:
            raise ConfigError(f"{path}: {error}; correct or delete it") from error

    def save(self, sha256: str | None, settings: Settings) -> Path:
        """Write an avatar's settings, whole or not at all; return the file."""
        path = self.path(sha256)
        kept = {k: v for k, v in as_mapping(settings).items() if k not in _PASSING}
        # JSON's numbers, texts without escapes and booleans are TOML's too.
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in kept.items())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(text, "utf-8", newline="\n")
            os.replace(part, path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
        return path


def default_folder() -> Path:
    """Return the folder of this user's profiles."""
    from platformdirs import user_data_path

    return user_data_path("gesture-streamer", appauthor=False) / "profiles"
