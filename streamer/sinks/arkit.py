"""Our face in ARKit's 52 shapes, which most face programs understand."""

from typing import Final

from streamer.mouth import VOWELS
from streamer.types import Float32

ARKIT: Final = (
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft",
    "EyeSquintLeft", "EyeWideLeft",
    "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight",
    "EyeSquintRight", "EyeWideRight",
    "JawForward", "JawLeft", "JawRight", "JawOpen",
    "MouthClose", "MouthFunnel", "MouthPucker", "MouthLeft", "MouthRight",
    "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight",
    "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight",
    "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper",
    "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight",
    "MouthUpperUpLeft", "MouthUpperUpRight",
    "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight",
    "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight",
    "TongueOut",
)  # fmt: skip
"""The shapes in ARKit's order, 0 to 1 each."""

_SHAPES: Final = {
    "aa": {"JawOpen": 0.65, "MouthLowerDownLeft": 0.25, "MouthLowerDownRight": 0.25},
    "ih": {
        "JawOpen": 0.15,
        "MouthSmileLeft": 0.3,
        "MouthSmileRight": 0.3,
        "MouthStretchLeft": 0.25,
        "MouthStretchRight": 0.25,
    },
    "ou": {"JawOpen": 0.15, "MouthPucker": 0.7, "MouthFunnel": 0.25},
    "ee": {
        "JawOpen": 0.35,
        "MouthSmileLeft": 0.2,
        "MouthSmileRight": 0.2,
        "MouthStretchLeft": 0.2,
        "MouthStretchRight": 0.2,
    },
    "oh": {"JawOpen": 0.4, "MouthFunnel": 0.6, "MouthPucker": 0.15},
}


def arkit_shapes(face: Float32) -> dict[str, float]:
    """Return the shapes that a face [6] moves, 0 to 1, by ARKit's names."""
    *vowels, blink = face.tolist()
    out = {"EyeBlinkLeft": blink, "EyeBlinkRight": blink}
    for vowel, strength in zip(VOWELS, vowels, strict=True):
        for shape, most in _SHAPES[vowel].items():
            out[shape] = min(out.get(shape, 0.0) + strength * most, 1.0)
    return out
