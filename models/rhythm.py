"""When to gesture: the decisions between which the pose levels draw the motion.

A regression that has to guess *when* a stroke is released averages over the
moments it might be, and the hands move late and by half. So the moment is
decided first, as people's preparation, hold, stroke and retraction are
(streaming.md, "What follows", 1): a small GRU reads what is heard and what was
decided before, gives each phase a probability, and seeded dice that live in
the state choose ("give the network the dice", ibid. 2). The pose levels then
know the phase, its age and the gesture code it was entered with. Training
feeds the true decisions (teacher forcing), which keeps the offline form
parallel in time.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.causal import Shapes, State, StreamGru
from models.dice import uniform

LONGEST = 60.0
"""Frames after which a phase's age stops counting."""
SHARPNESS = 3.0
"""Exponent of the chances: strokes then begin nearer to the planner's and stay as many; measured by
`python -m training select`."""
UNLIKELY = 0.04
"""Moves less probable than this are never chosen: no gesture out of silence once an hour."""


class Move(IntEnum):
    """What the hands do.

    A stroke's first frame is a move of its own, so that one stroke that follows
    another can be told from a long one.
    """

    IDLE = 0
    PREPARE = 1
    HOLD = 2
    RELEASE = 3
    STROKE = 4
    RETRACT = 5


MOVES = len(Move)
COURSE = MOVES + 2
"""Numbers that tell a level where in the gesture it is: the move, and its age twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Decisions over time: move int [B, T], age [B, T] in frames, latched code [B, T, C].

    before_move, before_age [B]: what held before the first row.
    """

    move: Tensor
    age: Tensor
    code: Tensor
    before_move: Tensor
    before_age: Tensor


def course_features(move: Tensor, age: Tensor) -> Tensor:
    """Return [..., COURSE] of one-hot moves [..., MOVES] and ages [..., 1]."""
    return torch.cat([move, age / 15.0, torch.exp(-age / 4.0)], -1)


def advance(
    move: Tensor, age: Tensor, before: Tensor, code: Tensor, latched: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (age [..., 1], latched code) after a move follows another, one-hot [..., MOVES].

    The age begins anew at a change of move and at every release, and runs on from
    a release into its stroke. The code in force is taken over while the hands get
    ready, and kept through stroke and retraction.
    """
    release = move[..., Move.RELEASE : Move.RELEASE + 1]
    same = (move * before).sum(-1, keepdim=True) - release * before[..., 3:4]
    same = same + move[..., 4:5] * before[..., 3:4]
    age = torch.where(same > 0.5, torch.clamp(age + 1, max=LONGEST), torch.zeros_like(age))
    ready = move[..., Move.PREPARE : Move.STROKE].sum(-1, keepdim=True)
    return age, torch.where(ready > 0.5, code, latched)


def true_course(move: Tensor, code: Tensor) -> Course:
    """Return the course of whole sessions' moves int [B, T] under codes [B, T, C]."""
    hot = functional.one_hot(move.long(), MOVES).float()
    before = torch.zeros_like(hot[:, 0])
    before[:, Move.IDLE] = 1.0
    age, latched = torch.full_like(before[:, :1], LONGEST), torch.zeros_like(code[:, 0])
    ages, codes = list[Tensor](), list[Tensor]()
    for now, drawn in zip(hot.unbind(1), code.unbind(1), strict=True):
        age, latched = advance(now, age, before, drawn, latched)
        before = now
        ages.append(age[:, 0])
        codes.append(latched)
    return Course(
        move=move,
        age=torch.stack(ages, 1),
        code=torch.stack(codes, 1),
        before_move=torch.full_like(move[:, 0], int(Move.IDLE)),
        before_age=torch.full_like(ages[0], LONGEST),
    )


class Rhythm(nn.Module):
    """Features and past decisions to the next one. State: GRU, move, age, latched code, dice."""

    def __init__(self, inputs: int, hidden: int, code: int) -> None:
        super().__init__()
        self.code, self.sharpness = code, SHARPNESS
        self.gru = StreamGru("rhythm", inputs + COURSE, hidden, 1)
        self.head = nn.Sequential(nn.Linear(hidden, 64), nn.ELU(), nn.Linear(64, MOVES))
        self.voice = nn.Linear(hidden, 1)

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        own = {"move": (MOVES,), "age": (1,), "latched": (self.code,), "chance": (3,)}
        return self.gru.shapes() | own

    @staticmethod
    def fresh(state: State, seed: Tensor) -> None:
        """Write the state of a new session into zeros: at rest, with dice of the seed [S, 3]."""
        state["move"] = torch.cat([torch.ones_like(state["move"][:, :1]), state["move"][:, 1:]], -1)
        state["age"] = state["age"] + LONGEST
        # another order of the same integers: not in step with the dice of the codes
        state["chance"] = torch.cat([seed[:, 1:], seed[:, :1]], -1)

    def forward(self, x: Tensor, course: Course) -> tuple[Tensor, Tensor]:
        """Return (logits [B, T, MOVES], voice logits [B, T]) of features [B, T, I], taught."""
        move = torch.cat([course.before_move[:, None], course.move[:, :-1]], 1)
        age = torch.cat([course.before_age[:, None], course.age[:, :-1]], 1)
        hot = functional.one_hot(move.long(), MOVES).to(x.dtype)
        hidden = self.gru(torch.cat([x, course_features(hot, age[..., None])], -1))
        return self.head(hidden), self.voice(hidden)[..., 0]

    def step(self, x: Tensor, code: Tensor, state: State, new: State) -> tuple[Tensor, Tensor]:
        """Decide for one frame of features [S, I] and codes [S, C].

        Returns (course features [S, COURSE], voice logits [S, 1]); the move, its age
        and the latched code are in `new`.
        """
        before = state["move"]
        seen = course_features(before, state["age"])
        hidden = self.gru.step(torch.cat([x, seen], -1), state, new)
        chance = torch.softmax(self.sharpness * self.head(hidden), -1)
        chance = torch.where(chance > UNLIKELY, chance, torch.zeros_like(chance))
        new["chance"], number = uniform(state["chance"])
        # the first move whose cumulated chance exceeds the number
        ladder = torch.tril(torch.ones(MOVES, MOVES, device=x.device)).T
        upper = chance @ ladder
        number = number * upper[:, -1:]
        lower = torch.cat([torch.zeros_like(upper[:, :1]), upper[:, :-1]], -1)
        chosen = ((number >= lower) & (number < upper)).to(x.dtype)
        new["move"] = chosen
        new["age"], new["latched"] = advance(chosen, state["age"], before, code, state["latched"])
        return course_features(chosen, new["age"]), self.voice(hidden)

    @torch.no_grad()
    def decide(self, x: Tensor, code: Tensor, seed: Tensor) -> tuple[Course, Tensor]:
        """Return (the decisions of new sessions, voice logits [B, T]), frame after frame.

        x [B, T, I], code [B, T, C], seed [B, 3]: what `step` gives, whole.
        """
        state = {n: x.new_zeros(len(x), *s) for n, s in self.shapes().items()}
        self.fresh(state, seed)
        moves, ages, codes, voices = [], [], [], []
        for features, drawn in zip(x.unbind(1), code.unbind(1), strict=True):
            new: State = {}
            _, voice = self.step(features, drawn, state, new)
            state = new
            moves.append(new["move"].argmax(-1))
            ages.append(new["age"][:, 0])
            codes.append(new["latched"])
            voices.append(voice[:, 0])
        course = Course(
            move=torch.stack(moves, 1),
            age=torch.stack(ages, 1),
            code=torch.stack(codes, 1),
            before_move=torch.zeros(len(x), dtype=torch.int64),
            before_age=torch.full((len(x),), LONGEST),
        )
        return course, torch.stack(voices, 1)
