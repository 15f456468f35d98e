"""What the streaming networks are trained to do (spec/streaming.md, What follows, 2-3)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.ha2g_stream import Drawn
from streamer.skeleton import Skeleton
from training.dataset import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the terms.

    pose: Huber at every level; speed: L1 of velocities; shake: L1 of
    accelerations, without which the hands tremble; place: wrist, elbow and
    finger positions; move: cross-entropy of the decisions; voice: the activity
    head.
    """

    pose: float = 1.0
    speed: float = 2.0
    shake: float = 2.0
    place: float = 1.0
    move: float = 0.2
    voice: float = 0.05


def vector_weights(skeleton: Skeleton) -> Tensor:
    """Return [D] weights with mean 1: what moves the hands counts more than a knuckle."""
    weights = torch.full((skeleton.vectors,), 0.4)
    for i, (parent, child) in enumerate(skeleton.bones):
        name = f"{skeleton.joints[parent]}>{skeleton.joints[child]}"
        if "elbow" in skeleton.joints[child] or "wrist" in skeleton.joints[child]:
            weights[i] = 6.0
        elif name in ("pelvis>spine3", "spine3>neck", "neck>nose"):
            weights[i] = 3.0
        elif "shoulder" in skeleton.joints[child] or name.endswith("middle1"):
            weights[i] = 2.0
    weights[len(skeleton.bones) :] = 2.0
    return weights / weights.mean()


class StreamLoss:
    """Weighted terms over a batch; rows without a target do not count."""

    def __init__(self, skeleton: Skeleton, weights: LossWeights) -> None:
        self.skeleton, self.weights = skeleton, weights
        self.vector = vector_weights(skeleton)
        self.mean = torch.tensor(skeleton.mean)
        self.chains = _chains(skeleton)

    def __call__(self, drawn: Drawn, batch: Batch) -> dict[str, Tensor]:
        """Return named, weighted terms of what a network drew of a batch."""
        poses, target, mask = drawn.poses, batch.target, batch.known.float()
        count = mask.sum().clamp(min=1.0)
        wanted = target - self.mean
        pose = torch.zeros(())
        # a network without a cascade has the last level alone
        levels = self.skeleton.levels[-len(poses) :]
        for level, out in zip(levels, poses, strict=True):
            index = list(level)
            error = huber(out.unflatten(-1, (-1, 3)), wanted[:, :, index])
            pose = pose + ((error.mean(-1) * self.vector[index]).mean(-1) * mask).sum() / count
        last = poses[-1].unflatten(-1, (-1, 3))
        error = last - wanted
        speed, shake = self._change(error, mask, 1), self._change(error, mask, 2)
        reach = last + self.mean
        place = huber(self._places(reach), self._places(target)).mean((-1, -2))
        heard = functional.binary_cross_entropy_with_logits(drawn.voice, batch.voiced)
        moved = functional.cross_entropy(drawn.moves.flatten(0, 1), batch.course.move.flatten())
        return {
            "pose": self.weights.pose * pose / len(poses),
            "speed": self.weights.speed * speed,
            "shake": self.weights.shake * shake,
            "place": self.weights.place * (place * mask).sum() / count,
            "move": self.weights.move * moved,
            "voice": self.weights.voice * heard,
        }

    def _change(self, error: Tensor, mask: Tensor, order: int) -> Tensor:
        """Return the mean L1 of the `order`-th difference in time of error [B, T, D, 3]."""
        whole = mask.unfold(1, order + 1, 1).amin(-1)
        moved = (error.diff(n=order, dim=1).abs().mean(-1) * self.vector).mean(-1)
        return (moved * whole).sum() / whole.sum().clamp(min=1.0)

    def _places(self, directions: Tensor) -> Tensor:
        """Return [B, T, P, 3] wrist and middle-finger positions from the root, decimetres."""
        return 10.0 * torch.einsum("btdx,pd->btpx", directions, self.chains)


def huber(x: Tensor, y: Tensor) -> Tensor:
    """HA2G's Huber: smooth L1 with a knee at 0.1 (ha2g.md 3.2)."""
    return functional.smooth_l1_loss(x / 0.1, y / 0.1, reduction="none") * 0.1


def _chains(skeleton: Skeleton) -> Tensor:
    """Return [P, D] bone lengths along the way from the root to wrists and middle fingers."""
    above = {child: (bone, parent) for bone, (parent, child) in enumerate(skeleton.bones)}
    names = ("left_wrist", "right_wrist", "left_middle2", "right_middle2", "left_elbow")
    rows: list[Tensor] = []
    for name in (*names, "right_elbow"):
        row, joint = torch.zeros(skeleton.vectors), skeleton.joints.index(name)
        while joint != skeleton.root_joint:
            bone, joint = above[joint]
            row[bone] = skeleton.bone_lengths[bone]
        rows.append(row)
    return torch.stack(rows)
