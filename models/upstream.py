"""Published checkpoints and our networks: which dict fills what, and how they are read.

`read_checkpoint` takes a `.bin` of HA2G, Trimodal, a baseline or an FGD
auto-encoder, without running anything in it (`models.torch_files`), and tells what
it is; `Checkpoint.network()` builds ours with its weights. Names of parameters
are mapped in one place, `models.upstream_names`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from models.autoencoder import PoseAutoEncoder
from models.diffgesture import DiffGesture
from models.discriminator import Discriminator
from models.ha2g import HA2G, HA2GConfig
from models.joint_embedding import JointEmbedding
from models.pickled import Namespace, Vocabulary
from models.seq2seq import Seq2Seq
from models.speech2gesture import PatchDiscriminator, Speech2GestureGenerator
from models.torch_files import read_torch_file
from models.trimodal import TrimodalGenerator
from models.upstream_names import published_names
from streamer.errors import ArtifactError
from streamer.skeleton import Skeleton, load_skeleton

Kind = Literal[
    "ha2g",
    "trimodal",
    "autoencoder",
    "seq2seq",
    "speech2gesture",
    "joint_embedding",
    "diffgesture",
]
State = Mapping[str, Tensor]

_SKELETONS = {27: "ted_gesture", 126: "ted_expressive"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One published dict and the module it fills; `prefix` is before its names there."""

    dict_name: str
    module: nn.Module
    prefix: str = ""


def ha2g_parts(model: HA2G) -> tuple[Part, ...]:
    """Return the generator side of an HA2G checkpoint."""
    levels = tuple(
        Part(dict_name=f"gen_dict_{k}", module=generator)
        for k, generator in enumerate(model.generators, start=1)
    )
    return (
        Part(dict_name="audio_dict", module=model.audio),
        Part(dict_name="text_dict", module=model.contrast_text),
        *levels,
    )


def autoencoder_parts(model: PoseAutoEncoder) -> tuple[Part, ...]:
    """Return the parts of an FGD auto-encoder: TED Gesture's is the variational one."""
    if model.encoder.mean is not None:
        name, prefix = "gen_dict", "pose_encoder"
    else:
        name, prefix = "motion_ae", "encoder"
    return (
        Part(dict_name=name, module=model.encoder, prefix=prefix),
        Part(dict_name=name, module=model.decoder, prefix="decoder"),
    )


def network_parts(model: nn.Module) -> tuple[Part, ...]:
    """Return the published dicts of any of our offline networks."""
    match model:
        case HA2G():
            return ha2g_parts(model)
        case PoseAutoEncoder():
            return autoencoder_parts(model)
        case DiffGesture():
            return (Part(dict_name="state_dict", module=model),)
        case Discriminator() | PatchDiscriminator():
            return (Part(dict_name="dis_dict", module=model),)
        case _:
            return (Part(dict_name="gen_dict", module=model),)


def load_parts(parts: tuple[Part, ...], dicts: Mapping[str, State]) -> None:
    """Fill modules from published dicts.

    Raises `ArtifactError` when a dict lacks a tensor, has one too many, or one
    of another shape, naming the first of them.
    """
    unused = {part.dict_name: set(dicts.get(part.dict_name, {})) for part in parts}
    for part in parts:
        if part.dict_name not in dicts:
            raise ArtifactError(
                f"the checkpoint has no {part.dict_name!r}; it is another network's"
            )
        published = dicts[part.dict_name]
        filled: dict[str, Tensor] = {}
        for key, own in part.module.state_dict().items():
            names = [_qualified(part, name) for name in published_names(part.module, key)]
            filled[key] = _find(part.dict_name, published, names, own)
            unused[part.dict_name] -= set(names)
        part.module.load_state_dict(filled)
    for name, keys in unused.items():
        if keys:
            raise ArtifactError(
                f"{name}: {len(keys)} tensors this network does not have, e.g. {min(keys)!r}"
            )


def dump_parts(parts: tuple[Part, ...]) -> dict[str, dict[str, Tensor]]:
    """Return a network's weights in the published layout: the inverse of `load_parts`."""
    out: dict[str, dict[str, Tensor]] = {}
    for part in parts:
        state = out.setdefault(part.dict_name, {})
        for key, value in part.module.state_dict().items():
            for name in published_names(part.module, key):
                state[_qualified(part, name)] = value
    return out


def _qualified(part: Part, name: str) -> str:
    return f"{part.prefix}.{name}" if part.prefix else name


def _find(dict_name: str, published: State, names: list[str], own: Tensor) -> Tensor:
    for name in names:
        if name not in published:
            raise ArtifactError(f"{dict_name}: no tensor {name!r}; it is another network's")
        if published[name].shape != own.shape:
            raise ArtifactError(
                f"{dict_name}: {name} has shape {tuple(published[name].shape)}, "
                f"this network needs {tuple(own.shape)}"
            )
    first = published[names[0]]
    if any(not first.equal(published[name]) for name in names[1:]):
        raise ArtifactError(f"{dict_name}: {' and '.join(names)} must be the same tensor")
    return first


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """What a published file holds.

    args: the training options; words and speakers: None where the network has
    none; skeleton: with the mean that the weights were trained with; dicts: the
    state dicts by their published names.
    """

    kind: Kind
    skeleton: Skeleton
    epoch: int
    args: Mapping[str, Any]
    words: Vocabulary | None
    speakers: Vocabulary | None
    dicts: Mapping[str, State]

    def network(self) -> nn.Module:
        """Return our network with these weights, in evaluation mode."""
        model = _build(self.kind, self.skeleton, self.dicts)
        load_parts(network_parts(model), self.dicts)
        return model.eval()

    def discriminator(self) -> nn.Module:
        """Return the discriminator with these weights; `ArtifactError` if there is none."""
        pose_dim = 3 * self.skeleton.vectors
        model: nn.Module
        match self.kind:
            case "ha2g":
                model = Discriminator(pose_dim, slope=0.01)
            case "trimodal":
                model = Discriminator(pose_dim, slope=1.0)
            case "speech2gesture":
                model = PatchDiscriminator(pose_dim)
            case _:
                raise ArtifactError(f"{self.kind} has no discriminator")
        load_parts(network_parts(model), self.dicts)
        return model.eval()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a published checkpoint as plain data; nothing in the file is run.

    Raises `ArtifactError` for a file that is truncated, that asks for anything
    but tensors, plain containers, arguments and vocabularies, or that holds
    another network.
    """
    try:
        content = read_torch_file(path)
        if not isinstance(content, dict):
            raise ArtifactError("holds no dict; expected a training checkpoint")
        return _interpret(cast(dict[Any, Any], content))
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error


def _interpret(content: dict[Any, Any]) -> Checkpoint:
    dicts = {
        str(key): _state(str(key), value)
        for key, value in content.items()
        if isinstance(value, dict)
    }
    kind = _kind(dicts)
    args = content.get("args")
    options = dict(args.values) if isinstance(args, Namespace) else {}
    pose_dim = content.get("pose_dim")
    if pose_dim not in _SKELETONS:
        known = " or ".join(f"{dim} ({name})" for dim, name in _SKELETONS.items())
        raise ArtifactError(f"pose_dim is {pose_dim!r}, expected {known}")
    skeleton = load_skeleton(_SKELETONS[cast(int, pose_dim)])
    if "mean_dir_vec" in options:
        skeleton = replace(skeleton, mean=_mean(options["mean_dir_vec"], skeleton))
    words, speakers = content.get("lang_model"), content.get("speaker_model")
    epoch = content.get("epoch")
    return Checkpoint(
        kind=kind,
        skeleton=skeleton,
        epoch=epoch if isinstance(epoch, int) else 0,
        args=options,
        words=words if isinstance(words, Vocabulary) else None,
        speakers=speakers if isinstance(speakers, Vocabulary) else None,
        dicts=dicts,
    )


def _state(name: str, value: dict[Any, Any]) -> State:
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, Tensor):
            raise ArtifactError(f"{name}: {key!r} is no tensor; expected a state dict")
    return cast(State, value)


def _kind(dicts: Mapping[str, State]) -> Kind:
    generator = dicts.get("gen_dict", {})
    if "gen_dict_1" in dicts:
        return "ha2g"
    if "motion_ae" in dicts:
        return "autoencoder"
    if "null_cond_emb" in dicts.get("state_dict", {}):
        return "diffgesture"
    marks: dict[str, Kind] = {
        "speaker_mu.weight": "trimodal",
        "context_encoder.fc_mu.weight": "joint_embedding",
        "encoder.embedding.weight": "seq2seq",
        "audio_encoder.first_net.0.0.weight": "speech2gesture",
        "pose_encoder.fc_mu.weight": "autoencoder",
    }
    for mark, kind in marks.items():
        if mark in generator:
            return kind
    held = ", ".join(sorted(dicts)) or "no state dict"
    raise ArtifactError(
        f"no network that is known here (it holds {held}); expected a checkpoint of HA2G, "
        "Trimodal, an FGD auto-encoder, seq2seq, Speech2Gesture, Joint Embedding or DiffGesture"
    )


def _mean(value: Any, skeleton: Skeleton) -> npt.NDArray[np.float32]:
    try:
        mean = np.asarray(value, np.float32).reshape(skeleton.vectors, 3)
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"args.mean_dir_vec does not hold {3 * skeleton.vectors} numbers"
        ) from error
    return mean


def _build(kind: Kind, skeleton: Skeleton, dicts: Mapping[str, State]) -> nn.Module:
    pose_dim = 3 * skeleton.vectors
    match kind:
        case "ha2g":
            levels = sum(name.startswith("gen_dict_") for name in dicts)
            if levels != len(skeleton.levels):
                raise ArtifactError(
                    f"{levels} levels for {skeleton.name}, which has {len(skeleton.levels)}"
                )
            return HA2G(
                HA2GConfig.published(
                    skeleton,
                    words=_rows(dicts, "gen_dict_1", "text_encoder.embedding.weight"),
                    speakers=_rows(dicts, "gen_dict_1", "speaker_embedding.0.weight"),
                )
            )
        case "trimodal":
            return TrimodalGenerator(
                pose_dim,
                words=_rows(dicts, "gen_dict", "text_encoder.embedding.weight"),
                speakers=_rows(dicts, "gen_dict", "speaker_embedding.0.weight"),
            )
        case "autoencoder":
            variational = "motion_ae" not in dicts
            name = "gen_dict" if variational else "motion_ae"
            prefix = "pose_encoder" if variational else "encoder"
            latent = _rows(dicts, name, f"{prefix}.out_net.6.weight")
            return PoseAutoEncoder(pose_dim, latent, variational=variational)
        case "seq2seq":
            return Seq2Seq(pose_dim, words=_rows(dicts, "gen_dict", "encoder.embedding.weight"))
        case "speech2gesture":
            return Speech2GestureGenerator(pose_dim)
        case "joint_embedding":
            key = "context_encoder.text_encoder.embedding.weight"
            return JointEmbedding(pose_dim, words=_rows(dicts, "gen_dict", key))
        case "diffgesture":
            width = _rows(dicts, "state_dict", "diffusion_net.net.linear.weight")
            steps = _rows(dicts, "state_dict", "diffusion_net.var_sched.betas") - 1
            return DiffGesture(pose_dim, width=width, steps=steps)


def _rows(dicts: Mapping[str, State], name: str, key: str) -> int:
    state = dicts[name]
    if key not in state or state[key].ndim == 0:
        raise ArtifactError(f"{name}: no tensor {key!r}; it is another network's")
    return len(state[key])
