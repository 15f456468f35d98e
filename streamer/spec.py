"""What an artifact says about itself: `manifest.json` (DESIGN 8).

A manifest is read once, checked against the files beside it, and then trusted.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from streamer.clock import FrameClock
from streamer.errors import ArtifactError
from streamer.skeleton import Skeleton
from streamer.wordpieces import UNKNOWN_PIECE

FORMAT = 1
Dtype = Literal["float32", "int32"]
WordKind = Literal["hashed", "vocabulary", "pieces"]
VOCABULARY = "vocabulary.json"
"""The file of an artifact whose words are those of a table: {word or piece: row}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One named tensor of a step; `shape` leaves out the leading slot axis.

    A state tensor NAME is graph input `NAME` and graph output `next_NAME`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Dtype = "float32"

    @property
    def size(self) -> int:
        """Numbers per slot."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSpec:
    """The mel front end: `columns` windows of `window` samples per pose frame."""

    window: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSpec:
    """How words become ids: `slots` numbers per word, 0 for none.

    `hashed`: n-gram ids in [1, buckets). `vocabulary`: one row of a published
    word list of `buckets` rows. `pieces`: the first `slots` WordPiece rows of a
    word. For both `index` (to the row) comes from the artifact's `vocabulary.json`.
    """

    buckets: int
    slots: int
    kind: WordKind = "hashed"
    index: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Everything the engine must know to run a step of a model.

    frames_per_step: K. lookaheads: allowed A in frames. inputs: without the
    `start` and `ready` masks, which every graph has as bool [S].
    """

    name: str
    network: str
    preset: str
    fps: Fraction
    frames_per_step: int
    lookaheads: tuple[int, ...]
    default_lookahead: int
    skeleton: Skeleton
    audio: AudioSpec
    words: WordSpec
    styles: tuple[str, ...]
    default_style: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: tuple[TensorSpec, ...]

    @property
    def clock(self) -> FrameClock:
        """The frame clock of this model."""
        return FrameClock(fps=self.fps, columns=self.audio.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A model's spec, its provenance and the digests of its files."""

    spec: ModelSpec
    licence: str
    training: Mapping[str, Any]
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """One digest for the whole artifact: of its files' digests, sorted."""
        lines = "".join(f"{n} {d}\n" for n, d in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        s = self.spec
        return {
            "format": FORMAT,
            "name": s.name,
            "network": s.network,
            "preset": s.preset,
            "fps": [s.fps.numerator, s.fps.denominator],
            "frames_per_step": s.frames_per_step,
            "lookaheads": list(s.lookaheads),
            "default_lookahead": s.default_lookahead,
            "audio": {"window": s.audio.window, "columns": s.audio.columns},
            "words": {
                "kind": s.words.kind,
                "buckets": s.words.buckets,
                "slots": s.words.slots,
            },
            "styles": list(s.styles),
            "default_style": s.default_style,
            **{
                kind: [{"name": t.name, "shape": list(t.shape), "dtype": t.dtype} for t in tensors]
                for kind, tensors in (
                    ("inputs", s.inputs),
                    ("outputs", s.outputs),
                    ("state", s.state),
                )
            },
            "licence": self.licence,
            "training": dict(self.training),
            "files": dict(self.files),
            "skeleton": s.skeleton.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Manifest":
        """Read the JSON form; raises `ArtifactError` on anything missing or ill-typed."""
        got = data.get("format")
        if got != FORMAT:
            raise ArtifactError(
                f"manifest.json: format {got!r}, expected {FORMAT}; export the model again"
            )
        try:
            return cls._parse(data)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ArtifactError(
                f"manifest.json: missing or malformed field ({error!r}); export the model again"
            ) from error

    @classmethod
    def _parse(cls, data: dict[str, Any]) -> "Manifest":
        def tensors(kind: str) -> tuple[TensorSpec, ...]:
            rows = cast(list[dict[str, Any]], data[kind])
            specs = tuple(
                TensorSpec(
                    name=str(r["name"]), shape=tuple(int(n) for n in r["shape"]), dtype=r["dtype"]
                )
                for r in rows
            )
            for t in specs:
                if t.dtype not in ("float32", "int32") or any(n < 1 for n in t.shape):
                    raise ValueError(f"{kind} {t.name}: {t.dtype} {t.shape}")
            return specs

        spec = ModelSpec(
            name=str(data["name"]),
            network=str(data["network"]),
            preset=str(data["preset"]),
            fps=Fraction(int(data["fps"][0]), int(data["fps"][1])),
            frames_per_step=int(data["frames_per_step"]),
            lookaheads=tuple(int(a) for a in data["lookaheads"]),
            default_lookahead=int(data["default_lookahead"]),
            skeleton=Skeleton.from_json(data["skeleton"]),
            audio=AudioSpec(
                window=int(data["audio"]["window"]), columns=int(data["audio"]["columns"])
            ),
            words=WordSpec(
                # manifests written before there was a choice do not say
                kind=data["words"].get("kind", "hashed"),
                buckets=int(data["words"]["buckets"]),
                slots=int(data["words"]["slots"]),
            ),
            styles=tuple(str(s) for s in data["styles"]),
            default_style=str(data["default_style"]),
            inputs=tensors("inputs"),
            outputs=tensors("outputs"),
            state=tensors("state"),
        )
        if spec.default_lookahead not in spec.lookaheads:
            raise ValueError("default_lookahead is not among lookaheads")
        if spec.default_style not in spec.styles:
            raise ValueError("default_style is not among styles")
        if spec.words.kind not in ("hashed", "vocabulary", "pieces"):
            raise ValueError(f"words of kind {spec.words.kind!r}")
        return cls(
            spec=spec,
            licence=str(data["licence"]),
            training=cast(dict[str, Any], dict(data["training"])),
            files={str(k): str(v) for k, v in dict(data["files"]).items()},
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into an artifact folder."""
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def load_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of an artifact folder, digests included."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no manifest.json; expected a model artifact folder")
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: not JSON ({error}); the artifact is corrupt") from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{path}: expected a JSON object")
    manifest = Manifest.from_json(cast(dict[str, Any], data))
    for name, digest in manifest.files.items():
        file = folder / name
        if Path(name).name != name:
            raise ArtifactError(f"{path}: file name {name!r} leaves the artifact folder")
        if not file.is_file():
            raise ArtifactError(f"{file}: missing; the manifest lists it, copy the whole folder")
        if (got := sha256(file)) != digest:
            raise ArtifactError(
                f"{file.name}: digest {got[:12]} does not match the manifest's {digest[:12]}; "
                "the file is corrupt, copy or export it again"
            )
    if manifest.spec.words.kind != "hashed":
        return _with_vocabulary(folder, manifest)
    return manifest


def _with_vocabulary(folder: Path, manifest: Manifest) -> Manifest:
    """Return a manifest whose words know their rows."""
    path, words = folder / VOCABULARY, manifest.spec.words
    if VOCABULARY not in manifest.files:
        raise ArtifactError(f"{folder.name}: the manifest lists no {VOCABULARY}; import it again")
    try:
        index = {str(word): int(row) for word, row in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: not {{word: row}} ({error}); import the model again"
        ) from error
    if any(not 0 <= row < words.buckets for row in index.values()):
        raise ArtifactError(f"{path}: rows outside [0, {words.buckets}); import the model again")
    if words.kind == "pieces" and UNKNOWN_PIECE not in index:
        raise ArtifactError(f"{path}: no {UNKNOWN_PIECE}; export the model again")
    spec = replace(manifest.spec, words=replace(words, index=index))
    return replace(manifest, spec=spec)
