"""Varied talk from a small grammar: chat, streams, explanations, questions.

Words that trigger gestures are frequent on purpose; the rest is there so that
they do not stand alone.
"""

import re
from collections.abc import Sequence

import numpy as np

_RULES: dict[str, Sequence[str]] = {
    "S": (
        "{chat}",
        "{chat}",
        "{stream}",
        "{stream}",
        "{explain}",
        "{explain}",
        "{question}",
        "{refuse}",
        "{contrast}",
        "{story}",
        "{short}",
    ),
    "chat": (
        "{open} {i} {think} {you} {should} {act} {thing}.",
        "{open} {i} was {doing} {thing} {when}, and {it} was {quality}.",
        "{maybe} we can {act} {thing} {when}, {i} {think}.",
        "thank you so much for {doing} {thing}, it means everything to me.",
        "please {act} {thing} for me, {you} know how {quality} that is.",
        "{i} remember {doing} {thing} with {people}, {it} was {quality}.",
        "let me tell you about {thing}, {i} {feel} it is {quality}.",
        "my {person} told me that {people} {act} {thing} {when}.",
    ),
    "stream": (
        "welcome back {people}, today we are {doing} {thing}.",
        "look {here}, {it} is a {quality} {noun}, can {you} see {it}?",
        "wait, stop, stop! {it} is right {here}!",
        "oh no, {i} {negate} {act} {thing}!",
        "okay chat, {question}",
        "if {you} like {thing}, hit the button down {here}.",
        "{people}, we have to {act} all of {thing} before {it} is over.",
        "careful, there is a {big} {noun} over {here}.",
        "that was {quality}, {i} did {negate2} expect {thing} at all.",
    ),
    "explain": (
        "first {you} {act} {thing}, then {you} {act} {thing}.",
        "the {big} idea is that everything depends on {thing}, because {it} is {quality}.",
        "for example, {people} {act} {thing} {when}, and that is why {it} is {quality}.",
        "basically, {thing} is {quality} on the left, and {quality} on the right.",
        "on the one hand {it} is {quality}, on the other hand {it} is {quality}.",
        "there are {number} ways to {act} {thing}, and {i} will show {you} all of them.",
        "this means that all {people} have to {act} {thing}.",
        "second, {i} {think} {thing} is exactly what {you} need.",
    ),
    "question": (
        "what do {you} {think} about {thing}?",
        "why would {people} {act} {thing}?",
        "how can we {act} {thing} {when}?",
        "where did {you} put {thing}, over {here}?",
        "who wants to {act} {thing}?",
        "when do {you} want to {act} {thing}?",
        "which {noun} is more {quality}, {maybe} {thing}?",
        "really? {i} {think} {you} are {doing} {thing}, right?",
    ),
    "refuse": (
        "no, {i} {negate} {act} {thing}.",
        "never, {nobody} should {act} {thing} {when}.",
        "no no no, that is wrong, {it} is {negate2} {quality}.",
        "stop {doing} {thing}, {i} have had enough!",
        "wait, {i} {negate} {think} so.",
        "there is nothing {quality} about {thing}.",
        "{you} {negate} have to {act} {thing}, {nobody} does.",
    ),
    "contrast": (
        "{it} is {quality}, but {i} {think} {thing} is {quality}.",
        "{i} wanted to {act} {thing}; however, {people} were {doing} {thing}.",
        "although {it} looks {quality}, {you} can {act} {it}.",
        "{maybe} {you} are right, but {what} about {thing}?",
        "instead of {doing} {thing}, we should {act} {thing}.",
    ),
    "story": (
        "so {i} walked {there}, and all of a sudden {people} were {doing} {thing}.",
        "{people} came over {here} and asked me {what} {i} was {doing}.",
        "{when} {i} found a {big} {noun}, and {nobody} knew {what} to do with {it}.",
        "the whole {noun} was full of {people}, and all of them were {doing} {thing}.",
        "a long time ago my {person} gave me {thing}, and {i} still {feel} {quality} about {it}.",
    ),
    "short": (
        "yes, exactly.",
        "okay.",
        "I have no idea.",
        "thank you!",
        "oh, really?",
        "wait, what?",
        "maybe, who knows.",
        "of course not.",
        "that is {quality}!",
        "come over {here}.",
        "I know, right?",
        "sorry, my mistake.",
        "all right, let us go.",
        "so, here we are.",
    ),
    "open": ("well,", "so", "you know,", "honestly,", "listen,", "and", "okay,", "actually,"),
    "i": ("I", "I", "I", "we"),
    "you": ("you", "you", "you", "they", "people"),
    "it": ("it", "that", "this", "it"),
    "here": ("here", "there", "on the left", "on the right", "in front of me", "outside"),
    "there": ("there", "home", "into the room", "up the hill", "to the station"),
    "think": ("think", "know", "believe", "guess", "hope", "understand", "imagine"),
    "feel": ("feel", "think", "know", "am sure"),
    "should": ("should", "can", "could", "must", "will", "might"),
    "act": (
        "build try open break change paint fix move carry show sell watch read write play "
        "finish share clean lift throw find cook design test explain protect"
    ).split(),
    "doing": (
        "building trying opening breaking changing painting fixing moving carrying showing "
        "selling watching reading writing playing finishing sharing cleaning lifting throwing "
        "cooking testing explaining visiting"
    ).split(),
    "thing": (
        "the {noun}",
        "a {quality} {noun}",
        "all the {noun}s",
        "my {noun}",
        "your {noun}",
        "this {noun}",
        "the whole {noun}",
        "every {noun}",
        "some {noun}s",
        "{number} {noun}s",
    ),
    "noun": (
        "house garden computer picture story river window mountain song machine letter question "
        "answer kitchen ticket robot castle planet bridge market table camera forest engine "
        "number island lesson painting program problem project record secret signal sandwich "
        "teacher village weapon winter world"
    ).split(),
    "quality": (
        "amazing boring strange beautiful difficult simple enormous tiny expensive cheap loud "
        "quiet dangerous funny terrible wonderful important useless careful ancient modern soft "
        "heavy bright dark warm cold fast slow complicated possible impossible"
    ).split(),
    "big": ("big", "huge", "giant", "massive", "enormous", "little"),
    "all": ("all", "everything", "all", "the whole thing"),
    "people": (
        "people everyone everybody friends children teachers players strangers neighbours guys"
    ).split(),
    "person": ("mother", "father", "sister", "brother", "teacher", "neighbour", "doctor"),
    "nobody": ("nobody", "no one", "not everyone"),
    "negate": ("don't", "can't", "won't", "never", "didn't"),
    "negate2": ("not", "never", "not really"),
    "maybe": ("maybe", "perhaps", "probably", "possibly", "I guess"),
    "what": ("what", "why", "how"),
    "when": (
        "today",
        "tomorrow",
        "last night",
        "in the morning",
        "every day",
        "next week",
        "right now",
        "at the end of the day",
        "a long time ago",
    ),
    "number": ("two", "three", "four", "five", "seven", "ten", "twenty", "a hundred"),
}

_SLOT = re.compile(r"\{(\w+)\}")


def sentence(generator: np.random.Generator) -> str:
    """Return one utterance of one or two sentences, plain ASCII."""
    count = 1 + int(generator.random() < 0.35)
    return " ".join(_expand("{S}", generator) for _ in range(count))


def any_word(generator: np.random.Generator) -> str:
    """Return some word of the grammar, as a wrong recognition would."""
    group = _RULES[("noun", "act", "quality", "people", "doing")[int(generator.integers(5))]]
    return group[int(generator.integers(len(group)))]


def _expand(text: str, generator: np.random.Generator) -> str:
    while (slot := _SLOT.search(text)) is not None:
        options = _RULES[slot.group(1)]
        chosen = options[int(generator.integers(len(options)))]
        text = text[: slot.start()] + chosen + text[slot.end() :]
    text = re.sub(r"([.?!])[.?!]+", r"\1", text)
    return text[:1].upper() + text[1:]
