"""Words that ask for a gesture of a class."""

from collections.abc import Iterator, Sequence

from streamer.words import normalise

TRIGGERS: dict[str, Sequence[str]] = {
    "me": ("i", "me", "my", "mine", "myself", "i'm", "i've", "i'll", "i'd"),
    "you": ("you", "your", "yours", "yourself", "you're", "you've", "you'll"),
    "no": "no not never nothing none nobody don't can't won't isn't doesn't didn't wrong".split(),
    "big": "big huge all everything every everyone whole giant massive enormous world".split(),
    "stop": ("stop", "wait", "enough", "halt", "careful", "hold", "quiet", "slow"),
    "here": ("here", "there", "left", "right", "over", "where's", "look", "outside"),
    "question": ("what", "why", "how", "who", "when", "where", "which", "really"),
    "contrast": ("but", "however", "although", "instead", "though", "otherwise", "except"),
    "maybe": ("maybe", "perhaps", "probably", "guess", "whatever", "dunno", "possibly"),
    "please": ("please", "thanks", "thank", "welcome", "sorry", "help", "give"),
    "example": ("example", "first", "second", "because", "exactly", "basically", "means"),
    "think": ("think", "know", "remember", "idea", "understand", "wonder", "imagine"),
}
"""Gesture class to the words that trigger it, as `normalise` writes them."""

_CLASS_OF = {word: gesture for gesture, words in TRIGGERS.items() for word in words}


def trigger_class(word: str) -> str | None:
    """Return the gesture class that a word triggers, None for most words."""
    return _CLASS_OF.get(normalise(word))


def trigger_words() -> Iterator[str]:
    """Yield every trigger word."""
    yield from _CLASS_OF
