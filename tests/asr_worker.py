"""A recogniser's process whose audio tells it what to do; it obeys the protocol of the pipe.

The first sample of a block chooses: 1 says a word, 2 says its final, 3 ends the
process, 4 answers nonsense, 5 hangs until it is killed.
"""

import os
import sys
from pathlib import Path

from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.asr.pipe import Audio, Failed, Heard, Ready, answer_line, read_message


def main(how: str) -> None:
    out = sys.stdout.buffer

    def answer(line: bytes) -> None:
        out.write(line)
        out.flush()

    if how == "refuses":
        answer(answer_line(Failed(message="the model is of wood")))
        sys.exit(3)
    if how == "dies":
        print("something native went wrong", file=sys.stderr)
        os._exit(7)
    if how.startswith("once:"):  # dies in its first life only
        if not Path(how[5:]).exists():
            Path(how[5:]).touch()
            os._exit(9)
    answer(answer_line(Ready()))
    utterance = sample = 0
    while (message := read_message(sys.stdin.buffer)) is not None:
        said: tuple[Hypothesis, ...] = ()
        order = 2
        if isinstance(message, Audio):
            sample = message.start + len(message.pcm)
            order = int(message.pcm[0])
        if order == 3:
            os._exit(11)
        if order == 4:
            answer(b"Segmentation fault\n")
        if order == 5:
            while sys.stdin.buffer.read(1):
                pass
        if order in (1, 2):
            words = (Spoken(f"u{utterance}", sample - 100, sample),)
            final = order == 2
            said = (Hypothesis(utterance=utterance, words=words, heard=sample, final=final),)
            utterance += final
        answer(
            answer_line(
                Heard(sample=sample, hypotheses=said, flushed=not isinstance(message, Audio))
            )
        )


if __name__ == "__main__":
    main(sys.argv[1])
