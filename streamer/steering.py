"""The settings of a running stream, and everyone who may change them.

The WebSocket's `control` message, OSC and the avatar's profile all end here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from streamer.avatar import Avatar
from streamer.comfort import Comfort
from streamer.comfort_settings import Settings, as_mapping, changed
from streamer.errors import UsageError
from streamer.face import Face, scaled
from streamer.gestures import Performance
from streamer.profiles import ProfileStore
from streamer.types import SkeletonFrame

_PROFILE: Final = ("save", "load", "neutral")


class Steering:
    """One stream's settings; the event loop's alone.

    profiles: where avatars' settings are kept, None for nowhere. face: gives
    frames their mouth and lids, None for none. radius: of the avatar's trunk, metres,
    None where it is not known; an avatar without a profile begins with it as its
    `torso_radius`. Raises `ConfigError` for a profile
    that cannot be read.
    """

    def __init__(
        self,
        *,
        profiles: ProfileStore | None,
        avatar: Avatar | None = None,
        face: Face | None = None,
        radius: float | None = None,
    ) -> None:
        self._profiles = profiles
        self._avatar = avatar
        self._face = face
        self._radius = radius
        self._comfort = Comfort(self._loaded(), avatar=avatar)

    def apply(self, frame: SkeletonFrame) -> SkeletonFrame:
        """Return a frame as it shall be seen."""
        if self._face is not None:
            frame = self._face.apply(frame)
        return scaled(self._comfort(frame), self._comfort.settings.mouth)

    def control(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change settings by name; return all that are in effect.

        Three names are commands: `trigger` performs a gesture now, `profile` is
        `save`, `load` or `neutral`, `fit` is `body`: the torso's radius as measured.
        Raises `UsageError` and changes nothing.
        """
        values = dict(wanted)
        gesture, profile = values.pop("trigger", None), values.pop("profile", None)
        if (fit := values.pop("fit", None)) is not None:
            values["torso_radius"] = self._fitted(fit)
        if profile is not None and profile not in _PROFILE:
            raise UsageError(f"profile {profile!r:.40}: expected {', '.join(_PROFILE)}")
        performance = None if gesture is None else Performance(str(gesture))
        base = self._comfort.settings
        match profile:
            case "neutral":
                base = Settings()
            case "load":
                base = self._loaded()
            case _:
                pass
        settings = changed(base, values)
        if profile == "save" and self._profiles is not None:
            self._profiles.save(self._digest, settings)
        self._comfort.change(settings)
        if performance is not None:
            self._comfort.perform(performance)
        return self.in_effect()

    @property
    def settings(self) -> Settings:
        """The settings in effect."""
        return self._comfort.settings

    def in_effect(self) -> dict[str, str | float | bool]:
        """Return every setting by name: the data of a `settings` event."""
        return as_mapping(self._comfort.settings)

    def set_avatar(
        self, avatar: Avatar | None, *, radius: float | None = None
    ) -> Mapping[str, Any]:
        """Go on with another avatar and its profile; return the settings in effect.

        What is set for the moment (`still`, `mood`, locked arms) stays.
        """
        self._avatar, self._radius = avatar, radius
        self._comfort.set_avatar(avatar)
        now = self._comfort.settings
        loaded = replace(
            self._loaded(),
            still=now.still,
            mood=now.mood,
            lock_left=now.lock_left,
            lock_right=now.lock_right,
        )
        self._comfort.change(loaded)
        return self.in_effect()

    @property
    def _digest(self) -> str | None:
        return None if self._avatar is None else self._avatar.sha256

    def _loaded(self) -> Settings:
        if self._profiles is not None and self._profiles.has(self._digest):
            return self._profiles.load(self._digest)
        if self._avatar is None or self._radius is None:
            return Settings()
        return Settings(torso_radius=self._radius)

    def _fitted(self, wanted: Any) -> float:
        if wanted != "body":
            raise UsageError(f"fit {wanted!r:.40}: expected body")
        if self._radius is None:
            raise UsageError("this avatar's trunk could not be measured; set torso_radius by hand")
        return self._radius
