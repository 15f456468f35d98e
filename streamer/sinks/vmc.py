"""VMC protocol output: the pose over UDP, 60 times a second (protocols.md 1)."""

import time
from collections.abc import Iterable

import numpy as np

from streamer.avatar import Avatar
from streamer.clock import Clock
from streamer.errors import UsageError
from streamer.retarget import Pose
from streamer.rotation import aligned_all
from streamer.sinks.player import PosePlayer
from streamer.sinks.vmc_encoding import (
    NO_BLENDS,
    Bundling,
    Role,
    VmcEncoder,
    VmcRig,
    blend_datagrams,
    encode_vmc,
    expressions,
)
from streamer.types import Float32
from streamer.vmc_input import DEFAULT_WEIGHTS, VmcInput, Weights, mixed

__all__ = ["VmcSink", "encode_vmc", "parse_target"]

_SHUT = np.zeros(6, np.float32)


def parse_target(text: str, *, option: str = "--vmc", usual: int = 39_539) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPV6]:PORT`; raises `UsageError`."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{option} {text}: write an IPv6 address in brackets, [::1]:{usual}")
    if not colon or not host:
        raise UsageError(f"{option} {text}: expected HOST:PORT, for example 127.0.0.1:{usual}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise UsageError(f"{option} {text}: port {port!r} is not a number from 1 to 65535")
    return host, int(port)


class VmcSink(PosePlayer):
    """Sends a session's pose to one VMC receiver; implements `Sink`.

    upstream: a tracker whose share of each bone (`weights`), root and expressions
    are sent with our motion. face: send our frames' mouth and lids too, while no
    tracker sends expressions.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        output_fps: float = 60.0,
        avatar: Avatar | None = None,
        normalised: bool = False,
        bundle: Bundling = "mtu",
        role: Role = "performer",
        upstream: VmcInput | None = None,
        weights: Weights = DEFAULT_WEIGHTS,
        face: bool = False,
        frame_s: float = 1 / 15,
        clock: Clock = time.perf_counter,
    ) -> None:
        # Many receivers keep the last value for ever: leave the mouth closed.
        (shut,) = blend_datagrams(expressions(_SHUT))
        super().__init__(
            "vmc",
            host,
            port,
            option="--vmc",
            encode=self._datagrams,
            farewell=shut if face else b"",
            output_fps=output_fps,
            frame_s=frame_s,
            clock=clock,
        )
        self._normalised = normalised
        self._bundle: Bundling = bundle
        self._role: Role = role
        self._upstream = upstream
        self._weights = weights
        self._face = face
        self._shown: Float32 | None = None
        self.set_avatar(avatar)

    def set_avatar(self, avatar: Avatar | None) -> None:
        """Send for another model from the next frame on."""
        rig = VmcRig.for_model(avatar, normalised=self._normalised)
        self._encoder = VmcEncoder(rig, bundle=self._bundle, role=self._role)

    def _datagrams(self, pose: Pose, face: Float32 | None, seconds: float) -> Iterable[bytes]:
        pose = self._continued(pose)  # over the seam between two streams, too
        theirs = None if self._upstream is None else self._upstream.sample()
        if theirs is not None:
            pose = self._continued(mixed(pose, theirs, self._weights))
        self._shown = pose.rotations
        root, blends = (None, NO_BLENDS) if theirs is None else (theirs.root, theirs.blends)
        if not blends and self._face and face is not None:
            blends = expressions(face)
        return self._encoder(pose, seconds, root=root, blends=blends)

    def _continued(self, pose: Pose) -> Pose:
        if self._shown is None:
            return pose
        return Pose(rotations=aligned_all(pose.rotations, self._shown), root=pose.root)
