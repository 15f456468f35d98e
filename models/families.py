"""The families of streaming networks: what they have in common, and how a fresh one is made."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from torch import Tensor

from models.dice import Dice
from models.ha2g_stream import PRESETS as HA2G_PRESETS
from models.ha2g_stream import Drawn, Ha2gStream, StreamConfig
from models.hop_stream import PRESETS as HOP_PRESETS
from models.hop_stream import HopStream, HopStreamConfig
from models.rhythm import Rhythm
from streamer.errors import UsageError
from streamer.skeleton import Skeleton

Family = Literal["ha2g_stream", "hop_stream"]
LANGUAGE_FOLDER = Path(__file__).parents[1] / "training" / "checkpoints" / "stream-language"
"""Where `python -m training distil` leaves the frozen language models."""


class StreamNetwork(Protocol):
    """What training, checkpoints and export ask of a streaming network, an `nn.Module`."""

    @property
    def config(self) -> StreamConfig | HopStreamConfig:
        """Its sizes."""
        ...

    @property
    def skeleton(self) -> Skeleton:
        """What it moves."""
        ...

    @property
    def dice(self) -> Dice:
        """What draws its gesture code."""
        ...

    @property
    def codes(self) -> Tensor:
        """The table [M, code] of gesture codes."""
        ...

    @property
    def mean(self) -> Tensor:
        """The mean pose [D, 3]."""
        ...

    @property
    def rhythm(self) -> Rhythm:
        """What decides when a gesture begins."""
        ...

    def features(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (image, level) of windows [T, columns, W]."""
        ...

    def generate(
        self,
        image: Tensor,
        level: Tensor,
        word: Tensor,
        word_info: Tensor,
        lookahead: Tensor,
        style: Tensor,
        code: Tensor,
        seed: Tensor,
    ) -> Drawn:
        """Run new sessions whole; the last of the poses holds every vector."""
        ...

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the state tensors' shapes without the slot axis."""
        ...

    def fresh_state(
        self, state: dict[str, Tensor], inputs: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return a fresh state with the slots of `state`."""
        ...

    def step(
        self, inputs: Mapping[str, Tensor], state: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Run one frame; returns (outputs, next state)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return its weights by name."""
        ...

    def eval(self) -> Self:
        """Return it, ready for inference."""
        ...


def family_of(network: StreamNetwork) -> Family:
    """Return the family of a network."""
    match network:
        case HopStream():
            return "hop_stream"
        case Ha2gStream():
            return "ha2g_stream"
        case _:
            raise TypeError(f"{type(network).__name__} is no streaming network")


def deployed(network: StreamNetwork) -> StreamNetwork:
    """Return a network without what only training needs: a copy where that is some."""
    if not isinstance(network, HopStream):
        return network
    folded = copy.deepcopy(network)
    folded.fold()
    return folded


def presets(family: Family) -> Mapping[str, StreamConfig | HopStreamConfig]:
    """Return the named sizes of a family."""
    match family:
        case "ha2g_stream":
            return HA2G_PRESETS
        case "hop_stream":
            return HOP_PRESETS


def fresh_network(
    family: Family, preset: str, skeleton: Skeleton, codes: Tensor
) -> Ha2gStream | HopStream:
    """Return an untrained network of a preset, its frozen language model loaded.

    Raises `UsageError` for a preset that the family does not have and
    `ArtifactError` where its language model has not been made.
    """
    known = presets(family)
    if preset not in known:
        raise UsageError(f"{family} has no preset {preset!r}; there are {', '.join(known)}")
    match known[preset]:
        case StreamConfig() as config:
            return Ha2gStream(config, skeleton, codes)
        case HopStreamConfig() as config:
            network = HopStream(config, skeleton, codes)
            match config.language:
                case "distilled" | "none":
                    network.language.load(LANGUAGE_FOLDER / "distilled.safetensors")
                case "minilm":
                    network.language.load(LANGUAGE_FOLDER / "minilm.safetensors")
                case "random":
                    pass
            return network
