"""What the streaming networks share: how a frame is heard, how a session begins."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.causal import State
from models.dice import Dice
from models.frontend import LEVEL_START, LevelTracker, MelFrontEnd
from models.rhythm import Rhythm

COLUMNS = 2


class StreamBase(nn.Module):
    """Front end, level tracker, gesture dice and rhythm of a causal network.

    allowed: the lookaheads, in frames, that it may be asked for. Subclasses make
    the modules named here, in their own order.
    """

    front: MelFrontEnd
    tracker: LevelTracker
    dice: Dice
    rhythm: Rhythm
    codes: Tensor
    mean: Tensor
    allowed: tuple[int, ...]

    def features(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (image [T, COLUMNS, M], level [T, F]) of windows [T, COLUMNS, W]."""
        mel = self.front(windows).flatten(0, 1)
        energy = self.tracker.energy(mel)
        image, level = self.tracker.features(mel, energy, self.tracker.scan(energy))
        shape = (windows.shape[0], COLUMNS)
        return image.unflatten(0, shape), self.tracker.frame(level.unflatten(0, shape))

    def fresh_state(self, state: State, inputs: Mapping[str, Tensor]) -> State:
        """Return a fresh state for the slots of `state` (zeros but levels, moves and dice)."""
        fresh = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        fresh["level"] = fresh["level"] + torch.tensor(LEVEL_START)
        fresh["dice"] = torch.cat([inputs["seed"], fresh["dice"][:, :1]], -1)
        self.rhythm.fresh(fresh, inputs["seed"])
        return fresh

    def _hear_frame(self, windows: Tensor, state: State, new: State) -> tuple[Tensor, Tensor]:
        """Return (image [S, COLUMNS, M], level [S, F]) of one frame's windows [S, COLUMNS, W]."""
        mel = self.front(windows)
        energy = self.tracker.energy(mel)
        tracked, images, levels = state["level"], list[Tensor](), list[Tensor]()
        for column in range(COLUMNS):
            tracked = self.tracker.step(energy[:, column], tracked)
            image, level = self.tracker.features(mel[:, column], energy[:, column], tracked)
            images.append(image)
            levels.append(level)
        new["level"] = tracked
        return torch.stack(images, 1), self.tracker.frame(torch.stack(levels, 1))

    def _roll(self, state: State, new: State) -> Tensor:
        """Return the gesture code [S, C] in force, drawn anew when its time is over."""
        new["dice"], index, drawn = self.dice.step(state["dice"])
        new["code"] = torch.where(drawn, self.codes[index], state["code"])
        return new["code"]

    def _lookahead(self, lookahead: Tensor) -> Tensor:
        """Return the one-of-three code [..., 3] of lookahead frames [..., 1]."""
        allowed = torch.tensor(self.allowed, device=lookahead.device)
        return (lookahead == allowed).to(self.mean.dtype)
