"""How wide an avatar's trunk is, for keeping its hands out of it."""

import logging
from pathlib import Path
from typing import Final

import numpy as np

from streamer.errors import InputError
from streamer.humanoid import BONE_INDEX
from streamer.recordings.skin import Skin, read_skin

_log = logging.getLogger(__name__)

_TRUNK: Final = [BONE_INDEX[bone] for bone in ("hips", "spine", "chest", "upperChest")]
_LEAST, _MOST = 0.03, 0.4
_OF_SHOULDER: Final = 0.95  # wider, hanging arms could not hang


def body_radius(path: Path) -> float | None:
    """Return the radius in metres of the trunk of a `.vrm`; None where it cannot be seen."""
    try:
        return trunk_radius(read_skin(path))
    except InputError as error:
        _log.info("no measure of the trunk: %s", error)
        return None


def trunk_radius(skin: Skin) -> float | None:
    """Return the radius of a capsule about the spine that holds most of the trunk's front.

    The back does not count, because of rucksacks and wings; nor does what is wider
    than the shoulders, because arms hang there.
    """
    bottom, top = skin.rest[0], skin.rest[BONE_INDEX["neck"]]
    along = top - bottom
    length = float(along @ along)
    mine = skin.weights[:, _TRUNK].sum(1) > 0.5
    places = skin.vertices[mine] - bottom
    share = places @ along / max(length, 1e-9)
    middle = (share > 0.1) & (share < 0.85) & (places[:, 2] > 0)
    if length < 1e-6 or middle.sum() < 8:
        return None
    away = np.linalg.norm(places - share[:, None] * along, axis=1)[middle]
    shoulder = abs(float(skin.rest[BONE_INDEX["leftUpperArm"], 0]))
    radius = min(float(np.percentile(away, 75)), _OF_SHOULDER * shoulder)
    return round(min(max(radius, _LEAST), _MOST), 3)
