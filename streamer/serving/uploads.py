"""Avatar uploads of all clients: one at a time, whichever began last."""

import asyncio
from pathlib import Path

from streamer.errors import InputError
from streamer.serving.avatars import AvatarFile, AvatarStore, Upload
from streamer.wire_requests import AvatarUpload


class Uploads:
    """Does the disk work of the avatar store in threads; the event loop's alone.

    A new upload takes the place of one that is under way, so that a client that
    stops in the middle is in nobody's way. Every method may raise `InputError`,
    or `OSError` when the disk does.
    """

    def __init__(self, store: AvatarStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._current: Upload | None = None

    async def begin(self, request: AvatarUpload) -> Upload:
        """Start an upload."""
        async with self._lock:
            await self._drop()
            self._current = await asyncio.to_thread(self._store.begin, request)
            return self._current

    async def write(self, upload: Upload, chunk: bytes) -> AvatarFile | None:
        """Take the next bytes; return the avatar once it is complete, checked and in use."""
        async with self._lock:
            if upload is not self._current:
                raise InputError("another upload has taken the place of this one")
            try:
                await asyncio.to_thread(upload.write, chunk)
                if upload.missing:
                    return None
                avatar = await asyncio.to_thread(upload.finish)
            except (InputError, OSError):
                await self._drop()
                raise
            self._current = None
            return avatar

    async def abort(self, upload: Upload) -> None:
        """Forget an upload, if it has not been finished or replaced."""
        async with self._lock:
            if upload is self._current:
                await self._drop()

    async def adopt(self, path: Path) -> AvatarFile:
        """Take a file of the user's."""
        async with self._lock:
            return await asyncio.to_thread(self._store.adopt, path)

    async def forget(self) -> AvatarFile | None:
        """Go back to the mannequin."""
        async with self._lock:
            return await asyncio.to_thread(self._store.forget)

    async def _drop(self) -> None:
        upload, self._current = self._current, None
        if upload is not None:
            await asyncio.to_thread(upload.abort)
