"""The avatar that every page shows: uploaded or given, checked, remembered.

OBS has a browser profile of its own, so a page cannot remember the avatar: the
engine does. The file lies in the user's data folder under its own digest, and
`avatar.json` beside it, replaced in one step, says which one counts.
"""

import contextlib
import json
import logging
import os
import re
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from streamer.errors import InputError
from streamer.spec import sha256
from streamer.wire_requests import MAX_AVATAR_BYTES, MAX_CHUNK_BYTES, AvatarUpload

_log = logging.getLogger(__name__)

_GLB_HEADER: Final = struct.Struct("<4sII")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_NOTE: Final = "avatar.json"
_PART: Final = "part-"
_STALE_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarFile:
    """The avatar in use; `custom` unless it is the project's own mannequin."""

    path: Path
    name: str
    size: int
    sha256: str
    custom: bool

    def info(self) -> dict[str, Any]:
        """Return what the hello and the `avatar` event say of it."""
        return {
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256,
            "url": f"/avatar/file?v={self.sha256[:16]}",
            "custom": self.custom,
        }


class AvatarStore:
    """Keeps one avatar in a folder. Its methods do disk work: call them in a thread.

    check: reads a VRM file in full and raises `InputError` for one that cannot
    be shown; `streamer.avatar.read_avatar`.
    """

    def __init__(self, *, folder: Path, default: Path, check: Callable[[Path], object]) -> None:
        self._folder = folder
        self._default = default
        self._check = check
        self._current = self._remembered() or self._mannequin()

    @property
    def current(self) -> AvatarFile | None:
        """The avatar in use; None when there is not even a mannequin."""
        return self._current

    def adopt(self, path: Path) -> AvatarFile:
        """Take a file of the user's (`--avatar`); raises `InputError` with the reason."""
        if not path.is_file():
            raise InputError(f"avatar {path}: no such file; give the path of a .vrm file")
        request = AvatarUpload(name=path.name, size=path.stat().st_size, sha256=sha256(path))
        with self.begin(request) as upload, path.open("rb") as source:
            while chunk := source.read(MAX_CHUNK_BYTES):
                upload.write(chunk)
            return upload.finish()

    def forget(self) -> AvatarFile | None:
        """Go back to the mannequin."""
        (self._folder / _NOTE).unlink(missing_ok=True)
        self._current = self._mannequin()
        if self._folder.is_dir():
            self._tidy()
        return self._current

    def begin(self, request: AvatarUpload) -> "Upload":
        """Start an upload; raises `InputError` when it is too large."""
        if not _GLB_HEADER.size <= request.size <= MAX_AVATAR_BYTES:
            raise InputError(
                f"avatar {request.name!r}: {request.size} bytes, "
                f"expected {_GLB_HEADER.size} to {MAX_AVATAR_BYTES}"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        return Upload(self, request, self._folder)

    def keep(self, path: Path, request: AvatarUpload) -> AvatarFile:
        """Check a complete file and put it in use; raises `InputError`."""
        if (got := sha256(path)) != request.sha256:
            raise InputError(
                f"avatar {request.name!r}: digest {got[:12]} is not the announced "
                f"{request.sha256[:12]}; send it again"
            )
        try:
            self._check(path)
        except InputError as error:  # under the name that the user knows
            raise InputError(
                str(error).replace(str(path), request.name).replace(path.name, request.name)
            ) from error
        # A name comes from a client: its last part only, whatever the separator.
        name = request.name.replace("\\", "/").rsplit("/", 1)[-1]
        kept = self._folder / f"{got}.vrm"
        os.replace(path, kept)
        fresh = self._folder / f"{got}.tmp"
        note = {"name": name, "sha256": got, "size": request.size}
        fresh.write_text(json.dumps(note), encoding="utf-8")
        os.replace(fresh, self._folder / _NOTE)
        self._current = AvatarFile(path=kept, name=name, size=request.size, sha256=got, custom=True)
        self._tidy()
        return self._current

    def _remembered(self) -> AvatarFile | None:
        note = self._folder / _NOTE
        if not note.is_file():
            return None
        try:
            data = cast(dict[str, Any], json.loads(note.read_text("utf-8")))
            name, digest, size = str(data["name"]), str(data["sha256"]), int(data["size"])
            path = self._folder / f"{digest}.vrm"
            if not _DIGEST.fullmatch(digest) or path.stat().st_size != size:
                raise ValueError(f"{path} has not {size} bytes")
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("the remembered avatar is lost (%s); showing the mannequin", error)
            return None
        return AvatarFile(path=path, name=name, size=size, sha256=digest, custom=True)

    def _mannequin(self) -> AvatarFile | None:
        if not self._default.is_file():
            return None
        return AvatarFile(
            path=self._default,
            name=self._default.name,
            size=self._default.stat().st_size,
            sha256=sha256(self._default),
            custom=False,
        )

    def _tidy(self) -> None:
        """Remove avatars no longer in use; one that is being read on Windows stays."""
        keep = self._current.path if self._current else None
        stale = time.time() - _STALE_S  # parts of uploads that a crash cut short
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                part = path.name.startswith(_PART)
                if path.suffix == ".vrm" and path != keep:
                    if not part or path.stat().st_mtime < stale:
                        path.unlink()


class Upload:
    """One file on its way in; a context that leaves nothing behind unless finished."""

    def __init__(self, store: AvatarStore, request: AvatarUpload, folder: Path) -> None:
        self._store = store
        self._request = request
        handle, name = tempfile.mkstemp(dir=folder, prefix=_PART, suffix=".vrm")
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._head = b""
        self.received = 0

    def __enter__(self) -> "Upload":
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    @property
    def missing(self) -> int:
        """Bytes still to come."""
        return self._request.size - self.received

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; raises `InputError` when they cannot be a VRM's."""
        if len(chunk) > self.missing:
            raise InputError(
                f"avatar {self._request.name!r}: more than the announced {self._request.size} bytes"
            )
        if len(self._head) < _GLB_HEADER.size:
            self._head = (self._head + chunk)[: _GLB_HEADER.size]
            if len(self._head) == _GLB_HEADER.size:
                magic, version, _ = _GLB_HEADER.unpack(self._head)
                if (magic, version) != (b"glTF", 2):
                    raise InputError(
                        f"avatar {self._request.name!r} is no VRM: it is not a binary glTF 2 file"
                    )
        self._file.write(chunk)
        self.received += len(chunk)

    def finish(self) -> AvatarFile:
        """Check the file and put it in use; raises `InputError`."""
        if self.missing:
            raise InputError(f"avatar {self._request.name!r}: {self.missing} bytes are missing")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._store.keep(self._path, self._request)

    def abort(self) -> None:
        """Throw the bytes away; after `finish` there is nothing left to do."""
        self._file.close()
        self._path.unlink(missing_ok=True)
