"""What a viewer of the local session may say: acknowledge, steer, send an avatar."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from streamer.errors import GestureError, InputError, ProtocolError
from streamer.serving.avatars import AvatarFile, Upload
from streamer.serving.uploads import Uploads
from streamer.serving.viewer import Viewer
from streamer.types import Event, EventKind, WordEvent
from streamer.wire import CloseCode, event_json
from streamer.wire_requests import (
    MAX_CHUNK_BYTES,
    AvatarUpload,
    Choose,
    ClientHello,
    Control,
    Interrupt,
    Request,
    Scalar,
    decode_request,
    upload_json,
)

_SMALL_CHUNK: Final = 16 * 1024
"""Chunks below it count as messages, so that 100 MB cannot come byte by byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalInputs:
    """The ways into the local session.

    control: takes settings by name and returns all that are in effect; raises
    `UsageError` for one that does not exist. avatar: is told which file is shown
    from now on, None for the mannequin, and returns the settings too. choose:
    switches microphone or model, which may take seconds, and returns the data of a
    `choices` event; raises `GestureError` with the reason.
    """

    word: Callable[[WordEvent], None]
    interrupt: Callable[[], None]
    control: Callable[[Mapping[str, Scalar]], Mapping[str, Any]]
    avatar: Callable[[Path | None], Mapping[str, Any]] | None = None
    choose: Callable[[Choose], Awaitable[Mapping[str, Any]]] | None = None


class Watch:
    """Reads the messages of one viewer; the event loop's alone.

    tell_all: sends an event to every viewer.
    """

    def __init__(
        self,
        viewer: Viewer,
        *,
        uploads: Uploads,
        inputs: LocalInputs | None,
        tell_all: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._viewer = viewer
        self._uploads = uploads
        self._inputs = inputs
        self._tell_all = tell_all
        self._upload: Upload | None = None
        self._discard = 0
        self._changing: asyncio.Task[None] | None = None

    async def run(self, ws: ServerConnection) -> None:
        """Serve until the client leaves; raises `ProtocolError` for one that must."""
        try:
            async for message in ws:
                if isinstance(message, bytes):
                    await self._chunk(message)
                else:
                    self._viewer.flood.check(message)
                    await self._request(decode_request(message))
        finally:
            if self._upload is not None:
                await self._uploads.abort(self._upload)
            if self._changing is not None:  # it was asked for, whoever has left since
                await self._changing

    async def _request(self, request: Request) -> None:
        if self._viewer.handle(request):
            return
        match request:
            case ClientHello():
                pass  # its token was checked, or none is needed
            case AvatarUpload():
                await self._begin(request)
            case Control(settings=settings) if settings.get("avatar") == "default":
                await self._tell_avatar(await self._uploads.forget())
            case WordEvent() | Interrupt() | Control():
                await self._steer(request)
            case Choose():
                self._choose(request)
            case _:
                raise ProtocolError(f"{type(request).__name__} is no message for a viewer")

    async def _steer(self, request: WordEvent | Interrupt | Control) -> None:
        if self._inputs is None:
            self._warn("unavailable", "this stream takes no input")
            return
        try:
            match request:
                case WordEvent():
                    self._inputs.word(request)
                case Interrupt():
                    self._inputs.interrupt()
                case Control():
                    settings = self._inputs.control(request.settings)
                    await self._tell("settings", settings)
        except GestureError as error:
            self._warn("refused", str(error))

    def _choose(self, request: Choose) -> None:
        """Start a change; acknowledgements must be read while it is under way."""
        if self._inputs is None or self._inputs.choose is None:
            self._warn("unavailable", "this stream offers no choice of microphone or model")
        elif self._changing is not None and not self._changing.done():
            self._warn("refused", "another change is under way; try again when it is done")
        else:
            self._changing = asyncio.create_task(self._change(request, self._inputs.choose))

    async def _change(
        self, request: Choose, choose: Callable[[Choose], Awaitable[Mapping[str, Any]]]
    ) -> None:
        try:
            chosen = await choose(request)
        except GestureError as error:
            self._warn("refused", str(error))
            chosen = await choose(Choose())  # what is in use after all
        if request == Choose():
            event = Event(kind="choices", sample=self._viewer.last_sample, data=chosen)
            self._viewer.tell(event_json(event))
        else:
            await self._tell("choices", chosen)

    async def _begin(self, request: AvatarUpload) -> None:
        if self._upload is not None:
            await self._uploads.abort(self._upload)
        self._upload, self._discard = None, 0
        try:
            self._upload = await self._uploads.begin(request)
        except (InputError, OSError) as error:
            self._refuse(error, rest=request.size)
        else:
            self._viewer.tell(upload_json("ready", 0, ""))

    async def _chunk(self, chunk: bytes) -> None:
        if len(chunk) > MAX_CHUNK_BYTES:
            raise ProtocolError(
                f"binary message of {len(chunk)} bytes, at most {MAX_CHUNK_BYTES}",
                code=CloseCode.TOO_LARGE,
            )
        if len(chunk) < _SMALL_CHUNK:
            self._viewer.flood.check(chunk)
        if self._discard:  # what was already on the way when the upload was refused
            self._discard = max(0, self._discard - len(chunk))
            return
        if (upload := self._upload) is None:
            raise ProtocolError("binary message, but no avatar was announced")
        try:
            avatar = await self._uploads.write(upload, chunk)
        except (InputError, OSError) as error:
            self._upload = None
            self._refuse(error, rest=upload.missing - len(chunk))
            return
        if avatar is not None:
            self._upload = None
            self._viewer.tell(upload_json("done", upload.received, ""))
            await self._tell_avatar(avatar)

    def _refuse(self, error: Exception, *, rest: int) -> None:
        self._discard = max(0, rest)
        self._viewer.tell(upload_json("refused", 0, str(error)))

    def _warn(self, code: str, message: str) -> None:
        data = {"code": code, "message": message}
        event = Event(kind="warning", sample=self._viewer.last_sample, data=data)
        self._viewer.tell(event_json(event))

    async def _tell_avatar(self, avatar: AvatarFile | None) -> None:
        await self._tell("avatar", avatar.info() if avatar else {})
        if self._inputs is None or self._inputs.avatar is None:
            return
        try:
            custom = avatar.path if avatar is not None and avatar.custom else None
            await self._tell("settings", self._inputs.avatar(custom))
        except GestureError as error:
            self._warn("refused", str(error))

    async def _tell(self, kind: EventKind, data: Mapping[str, Any]) -> None:
        await self._tell_all(Event(kind=kind, sample=self._viewer.last_sample, data=data))
