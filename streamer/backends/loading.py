"""Finding a model and choosing the back end that runs it."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from streamer.backends.base import MakeBackend, StepBackend
from streamer.errors import UsageError

DEFAULT_MODEL = "ha2g-stream-small"
BACKENDS = ("auto", "onnxruntime", "torch", "tensorrt")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChoice:
    """A back end that can be made, by any thread, and why it was taken."""

    name: str
    reason: str
    make: MakeBackend


def built_in_models() -> dict[str, Path]:
    """Return the artifacts that came with the program, by name."""
    folder = Path(str(files("streamer"))) / "data" / "models"
    found = sorted(folder.glob("*/manifest.json"))
    return {path.parent.name: path.parent for path in found}


def find_artifact(name_or_folder: str) -> Path:
    """Return the artifact folder of a built-in name or of a path; raises `UsageError`."""
    models = built_in_models()
    if name_or_folder in models:
        return models[name_or_folder]
    folder = Path(name_or_folder)
    if (folder / "manifest.json").is_file():
        return folder
    known = ", ".join(models) or "none"
    if folder.is_dir():
        raise UsageError(
            f"{folder}: no manifest.json in it; give an artifact folder or one of: {known}"
        )
    raise UsageError(
        f"model {name_or_folder!r}: neither a folder nor a built-in model; built in: {known}"
    )


def choose_backend(name: str, folder: Path, *, threads: int = 1) -> BackendChoice:
    """Return the back end for `--backend NAME`; raises `UsageError` for what is not there."""

    def onnxruntime() -> StepBackend[Any]:
        from streamer.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(folder, threads=threads)

    match name:
        case "onnxruntime":
            return BackendChoice(name=name, reason="asked for", make=onnxruntime)
        case "auto":
            return BackendChoice(
                name="onnxruntime",
                reason="the CPU: a game beside it keeps the GPU",
                make=onnxruntime,
            )
        case "torch" if not (folder / "model.pt2").is_file():
            missing = f"{folder.name} has no model.pt2"
        case "torch" | "tensorrt":
            missing = "this version does not have that back end"
        case _:
            missing = f"there are {', '.join(BACKENDS)}"
    raise UsageError(f"--backend {name}: {missing}; use --backend auto")


def open_backend(name: str, folder: Path, *, threads: int = 1) -> StepBackend[Any]:
    """Load the back end for `--backend NAME`."""
    return choose_backend(name, folder, threads=threads).make()
