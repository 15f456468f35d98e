"""Writes meshes, a skin and the VRM 1.0 extension as one binary glTF."""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {"float32": 5126, "uint16": 5123, "uint8": 5121}
_ARRAY, _ELEMENT = 34962, 34963


@dataclass(slots=True)
class GltfWriter:
    """Collects accessors in one buffer; `finish` returns the file."""

    document: dict[str, Any]
    blob: bytearray = field(default_factory=bytearray)

    def accessor(
        self,
        values: npt.NDArray[Any],
        *,
        target: int | None = _ARRAY,
        normalized: bool = False,
        bounds: bool = False,
    ) -> int:
        """Append an array [N] or [N, C]; return its accessor's index."""
        data = np.ascontiguousarray(values)
        self.blob += b"\0" * (-len(self.blob) % 4)
        view: dict[str, Any] = {
            "buffer": 0, "byteOffset": len(self.blob), "byteLength": data.nbytes,
        }  # fmt: skip
        if target is not None:
            view["target"] = target
        self.blob += data.tobytes()
        views = self.document.setdefault("bufferViews", [])
        views.append(view)
        columns = 1 if data.ndim == 1 else data.shape[1]
        entry: dict[str, Any] = {
            "bufferView": len(views) - 1,
            "componentType": _COMPONENTS[data.dtype.name],
            "count": len(data),
            "type": _TYPES[columns],
        }
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry["min"] = data.min(0).tolist()
            entry["max"] = data.max(0).tolist()
        accessors = self.document.setdefault("accessors", [])
        accessors.append(entry)
        return len(accessors) - 1

    def indices(self, triangles: npt.NDArray[Any]) -> int:
        """Append triangles [T, 3] as 16-bit indices."""
        assert triangles.max() < 65535
        return self.accessor(triangles.reshape(-1).astype(np.uint16), target=_ELEMENT)

    def finish(self) -> bytes:
        """Return the .glb bytes."""
        self.blob += b"\0" * (-len(self.blob) % 4)
        self.document["buffers"] = [{"byteLength": len(self.blob)}]
        text = json.dumps(self.document, separators=(",", ":"), ensure_ascii=True).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self.blob)
        return b"".join(
            [
                struct.pack("<III", 0x46546C67, 2, size),
                struct.pack("<II", len(text), 0x4E4F534A),
                text,
                struct.pack("<II", len(self.blob), 0x004E4942),
                bytes(self.blob),
            ]
        )


def quantised(values: npt.NDArray[np.float64], steps: int = 1 << 15) -> npt.NDArray[np.float32]:
    """Round to 1/steps, so that the last bits of other machines' arithmetic vanish."""
    return (np.round(values * steps) / steps + 0.0).astype(np.float32)
