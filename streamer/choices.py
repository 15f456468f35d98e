"""What a running stream may be switched to: another microphone, another model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from streamer.audio.devices import HOST_APIS, Device
from streamer.audio.microphone import MicrophoneSource
from streamer.audio.source import AudioSource
from streamer.backends.loading import built_in_models, find_artifact
from streamer.config import ModelConfig
from streamer.engine import Engine
from streamer.errors import UsageError
from streamer.session import Session
from streamer.wire_requests import Choose

LoadEngine = Callable[[ModelConfig], Engine]
"""Loads a model; called in a thread. Raises `GestureError` for one that cannot run."""


class Choices:
    """Switches one live stream; everything belongs to the event loop.

    engine: the one that runs; this closes it. load: makes another. models:
    folders by the names that may be chosen, so that no client names a path.
    fixed_layout: whether recordings run, whose files have one set of joints.
    renew: is called when the stream's header has changed.
    """

    def __init__(
        self,
        *,
        source: AudioSource,
        session: Session,
        engine: Engine,
        config: ModelConfig,
        load: LoadEngine,
        models: Mapping[str, Path],
        fixed_layout: bool,
        renew: Callable[[], None],
    ) -> None:
        self._source = source
        self._session = session
        self._engine = engine
        self._config = config
        self._load = load
        self._models = models
        self._model = model_name(models, config.model)
        self._fixed_layout = fixed_layout
        self._renew = renew
        self._changing = asyncio.Lock()

    @property
    def engine(self) -> Engine:
        """The engine that runs now."""
        return self._engine

    def listed(self) -> dict[str, Any]:
        """Return what there is and what is in use: the data of a `choices` event."""
        source, devices, used = self._source, dict[str, Device](), ""
        if isinstance(source, MicrophoneSource):
            devices = device_ids(source.devices())
            used = next((name for name, one in devices.items() if one == source.device), "")
        return {
            "source": source.name,
            "device": used,
            "devices": [
                {"id": name, "name": device.name, "default": device.is_default}
                for name, device in devices.items()
            ],
            "model": self._model,
            "backend": self._engine.backend,
            "models": [{"id": name, "name": name} for name in self._models],
        }

    async def choose(self, wanted: Choose) -> dict[str, Any]:
        """Switch, and return `listed`; the old one goes on until the new one runs.

        Raises `GestureError` with the reason, and then nothing has changed.
        """
        if wanted == Choose():
            return self.listed()
        if self._changing.locked():
            raise UsageError("another change is under way; try again when it is done")
        async with self._changing:
            if wanted.rescan or wanted.device is not None:
                await self._choose_device(wanted)
            if wanted.model is not None and wanted.model != self._model:
                await self._choose_model(wanted.model)
        return self.listed()

    async def aclose(self) -> None:
        """Close the engine that runs."""
        await self._engine.aclose()

    async def _choose_device(self, wanted: Choose) -> None:
        source = self._source
        if not isinstance(source, MicrophoneSource):
            raise UsageError(
                f"the voice comes from {source.name}; for a microphone start without --source"
            )
        if wanted.rescan:
            await source.rescan()
        match wanted.device:
            case None:
                pass
            case "default":
                await source.switch(None)
            case name:
                device = device_ids(source.devices()).get(name)
                if device is None:
                    raise UsageError(f"there is no microphone {name[:60]!r} any more")
                if device != source.device:
                    await source.switch(str(device.index))

    async def _choose_model(self, name: str) -> None:
        folder = self._models.get(name)
        if folder is None:
            raise UsageError(f"there is no model {name[:60]!r}; choose {', '.join(self._models)}")
        config = replace(self._config, model=str(folder))
        new = await asyncio.to_thread(self._load, config)
        old, layout = self._engine, _layout(self._session)
        try:
            if self._fixed_layout and _names(new) != layout:
                raise UsageError(
                    f"model {name} has another skeleton than the recording that runs; "
                    "start anew without --record"
                )
            new.take_over(self._session, old)
        except BaseException:
            await new.aclose()
            raise
        self._engine, self._model = new, name
        if _layout(self._session) != layout:
            self._renew()
        await old.aclose()


def known_models(own: Path | None = None) -> dict[str, Path]:
    """Return the models on this machine by name: built in, the user's, and one's own.

    The user's are the folders in `models` of the program's data folder.
    """
    folder = user_data_path("gesture-streamer", appauthor=False) / "models"
    users = {path.parent.name: path.parent for path in sorted(folder.glob("*/manifest.json"))}
    models = {**users, **built_in_models()}
    if own is not None and own.resolve() not in {path.resolve() for path in models.values()}:
        models[own.name if own.name not in models else str(own)] = own
    return models


def model_name(models: Mapping[str, Path], wanted: str) -> str:
    """Return the name under which a name or a folder is known."""
    folder = find_artifact(wanted).resolve()
    return next((name for name, path in models.items() if path.resolve() == folder), wanted)


def device_ids(devices: Sequence[Device]) -> dict[str, Device]:
    """Return devices by ids that outlive a rescan: names, numbers where names are the same.

    Where host APIs show the same devices (Windows) those of the best one.
    """
    apis = {device.host_api for device in devices}
    best = next((api for api in HOST_APIS if api in apis), None)
    shown = [device for device in devices if best is None or device.host_api == best]
    names = [device.name for device in shown]
    return {d.name if names.count(d.name) == 1 else f"{d.name} #{d.index}": d for d in shown}


def _names(engine: Engine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    skeleton = engine.spec.skeleton
    return skeleton.joints, skeleton.vector_names


def _layout(session: Session) -> tuple[tuple[str, ...], tuple[str, ...]]:
    skeleton = session.spec.skeleton
    return skeleton.joints, skeleton.vector_names
