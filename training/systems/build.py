"""Recipe and data facts to a system."""

from dataclasses import asdict, dataclass
from typing import Any

from streamer.skeleton import Skeleton
from training.angles import Angles
from training.recipe import Recipe
from training.store.reader import Store
from training.systems.autoencoder import AutoEncoderSystem
from training.systems.base import System
from training.systems.baselines import (
    DiffGestureSystem,
    JointEmbeddingSystem,
    Seq2SeqSystem,
    Speech2GestureSystem,
)
from training.systems.ha2g import HA2GSystem
from training.systems.hop import HopSystem
from training.systems.stream import StreamSystem
from training.systems.styled import TrimodalSystem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """What a network takes from its data: layout, constants, and sizes of its tables.

    speakers: names, of rows 1 and up; row 0 is nobody.
    """

    skeleton: Skeleton
    angles: Angles
    vocabulary: dict[str, int]
    speakers: tuple[str, ...]

    @classmethod
    def of(cls, store: Store) -> "Facts":
        """Return the facts of a store."""
        return cls(
            skeleton=store.skeleton,
            angles=store.angles,
            vocabulary=store.vocabulary,
            speakers=store.speakers,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "skeleton": self.skeleton.to_json(),
            "angles": asdict(self.angles),
            "vocabulary": self.vocabulary,
            "speakers": list(self.speakers),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Facts":
        """Read the JSON form."""
        angles = data["angles"]
        pairs = {k: tuple((int(a), int(b)) for a, b in angles[k]) for k in ("normals", "pairs")}
        figures = {k: tuple(float(x) for x in angles[k]) for k in ("mean", "variance", "change")}
        return cls(
            skeleton=Skeleton.from_json(data["skeleton"]),
            angles=Angles(**pairs, **figures),
            vocabulary={str(k): int(v) for k, v in data["vocabulary"].items()},
            speakers=tuple(str(s) for s in data["speakers"]),
        )


def build_system(recipe: Recipe, facts: Facts) -> System:
    """Return a recipe's system with fresh weights from torch's global generator."""
    network, weights, skeleton = recipe.network, recipe.weights, facts.skeleton
    words, speakers = len(facts.vocabulary), len(facts.speakers) + 1
    match recipe.system:
        case "ha2g":
            return HA2GSystem(
                network, weights, skeleton, facts.angles, words=words, speakers=speakers
            )
        case "hop":
            return HopSystem(network, weights, skeleton, speakers=speakers)
        case "trimodal":
            return TrimodalSystem(network, weights, skeleton, words=words, speakers=speakers)
        case "seq2seq":
            return Seq2SeqSystem(network, weights, skeleton, words=words)
        case "speech2gesture":
            return Speech2GestureSystem(network, weights, skeleton)
        case "joint_embedding":
            return JointEmbeddingSystem(network, weights, skeleton, words=words)
        case "diffgesture":
            return DiffGestureSystem(network, weights, skeleton)
        case "autoencoder":
            return AutoEncoderSystem(network, weights, skeleton)
        case "ha2g_stream" | "hop_stream":
            return StreamSystem(recipe.system, network, weights, skeleton)
