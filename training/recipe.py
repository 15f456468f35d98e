"""A recipe: every setting of a training run, read from `training/recipes/*.toml`.

A file holds the system's settings, what differs by skeleton under
`[skeleton.NAME]`, and named variations under `[variation.NAME]`: the papers'
ablations. `ha2g/no_text` is recipe `ha2g` with its variation `no_text`. What
is not known is refused, and a run keeps its whole recipe in `run.json`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from streamer.errors import UsageError

_FOLDER = Path(__file__).parent / "recipes"

SystemName = Literal[
    "ha2g",
    "hop",
    "trimodal",
    "seq2seq",
    "speech2gesture",
    "joint_embedding",
    "diffgesture",
    "autoencoder",
    "ha2g_stream",
    "hop_stream",
]
Schedule = Literal["constant", "cosine", "tenths"]
Precision = Literal["fp32", "bf16"]
Text = Literal["transcript", "asr", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimisation:
    """How both sides step.

    rate, judge_rate: Adam's, of the generator side and the discriminator;
    schedule: `cosine` falls to `last_rate` at the end, `tenths` to a tenth every
    `decay_every` steps; warm: steps over which the rate rises; clip: largest
    gradient norm, 0 for none; ema: decay of the averaged weights, 0 for none.
    """

    rate: float = 5e-4
    judge_rate: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Schedule = "constant"
    warm: int = 0
    last_rate: float = 0.0
    decay_every: int = 0
    clip: float = 0.0
    ema: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which windows, and how their words reach the network.

    fraction: of the training clips, chosen by the seed of the recipe. text:
    `asr` takes the words as a recogniser heard them. delay: words reach the
    generators late, as from a live recogniser (hop.md 12, 6); the contrastive
    loss still sees them where they were spoken. errors: share of words that
    are replaced by another; missing: share that never come. stride: frames from
    one window to the next; frames: of a window, more than 34 only for the
    streaming networks.
    """

    fraction: float = 1.0
    text: Text = "transcript"
    delay: bool = False
    errors: float = 0.0
    missing: float = 0.0
    stride: int = 10
    frames: int = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every setting of one run.

    warm_up: steps before the GAN terms count. validate_every: 0 for never.
    dropout: off only to compare runs. patience: validations without a better
    one after which the run ends, 0 for never. weights and network: by name,
    what the system understands; each system refuses others.
    """

    system: SystemName
    variation: str = ""
    steps: int
    batch: int
    seed: int = 1
    precision: Precision = "fp32"
    compile: bool = False
    dropout: bool = True
    warm_up: int = 0
    log_every: int = 50
    keep_every: int = 1000
    validate_every: int = 1000
    patience: int = 0
    optimisation: Optimisation = field(default_factory=Optimisation)
    data: Data = field(default_factory=Data)
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    network: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """The name under which it is asked for."""
        return f"{self.system}/{self.variation}" if self.variation else self.system

    def adversarial_at(self, step: int) -> bool:
        """Say whether the GAN terms count in a step (from 0): after the warm-up only."""
        return step >= self.warm_up

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form that runs keep."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recipe":
        """Read the JSON form; raises `UsageError` naming what is unknown or ill-typed."""
        return _parse(data)


def recipe_names() -> dict[str, tuple[str, ...]]:
    """Return each recipe's variations."""
    return {path.stem: tuple(_read(path.stem).get("variation", {})) for path in _files()}


def load_recipe(name: str, skeleton: str, changes: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name, for a skeleton, with `key=value` changes.

    Raises `UsageError` for names, keys and values that are not known.
    """
    base, _, variation = name.partition("/")
    known = [path.stem for path in _files()]
    if base not in known:
        raise UsageError(f"no recipe {base!r}; there are {', '.join(known)}")
    described = _read(base)
    variations = described.pop("variation", {})
    skeletons = described.pop("skeleton", {})
    described = _merged(described, skeletons.get(skeleton, {}))
    if variation:
        if variation not in variations:
            listed = ", ".join(variations) or "none"
            raise UsageError(f"{base}: no variation {variation!r}; there are {listed}")
        described = _merged(described, variations[variation])
        described["variation"] = variation
    for change in changes:
        described = _merged(described, _change(change))
    return _parse(described)


def _files() -> list[Path]:
    return sorted(_FOLDER.glob("*.toml"))


def _read(base: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{base}.toml").read_text("utf-8"))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = _merged(out[key], value)
        else:
            out[key] = value
    return out


def _change(change: str) -> dict[str, Any]:
    """Return `data.fraction=0.5` as {"data": {"fraction": 0.5}}."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {change!r}: expected key=value, e.g. data.fraction=0.5")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _parse(data: Mapping[str, Any]) -> Recipe:
    values = dict(data)
    for key, kind in (("optimisation", Optimisation), ("data", Data)):
        values[key] = _record(kind, values.get(key, {}), f"{key}.")
    for key in ("weights", "network"):
        if not isinstance(values.setdefault(key, {}), Mapping):
            raise UsageError(f"recipe: {key} must hold settings by name, as {key}.NAME=VALUE")
    for name, value in values["weights"].items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"recipe: weights.{name} is {value!r}, expected a number")
    recipe = _record(Recipe, values, "")
    for name in ("steps", "batch", "keep_every", "log_every"):
        if getattr(recipe, name) < 1:
            raise UsageError(f"recipe: {name} is {getattr(recipe, name)}, expected 1 or more")
    if not 0 < recipe.data.fraction <= 1:
        raise UsageError(f"recipe: data.fraction is {recipe.data.fraction}, expected 0 to 1")
    return recipe


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "system": get_args(SystemName),
    "optimisation.schedule": get_args(Schedule),
    "precision": get_args(Precision),
    "data.text": get_args(Text),
}


def _record(kind: type[Any], values: Any, prefix: str) -> Any:
    """Return a dataclass of plain values, each checked against its field's type."""
    if isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        raise UsageError(f"recipe: {prefix[:-1]} must hold settings by name")
    types = {f.name: f.type for f in fields(kind)}
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in types:
            raise UsageError(f"recipe: no setting {name!r}; there are {', '.join(types)}")
        if (choices := _CHOICES.get(name)) and value not in choices:
            raise UsageError(f"recipe: {name} is {value!r}, expected {', '.join(choices)}")
        wanted = types[key]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        plain = wanted in (int, float, bool, str)
        if plain and (type(value) is not wanted):
            raise UsageError(f"recipe: {name} is {value!r}, expected {wanted.__name__}")
        out[key] = value
    if kind is Recipe and (missing := {"system", "steps", "batch"} - out.keys()):
        raise UsageError(f"recipe: {', '.join(sorted(missing))} not given")
    return kind(**out)
