"""`python -m streamer.asr.worker KIND [FOLDER]`: one recogniser in a process of its own.

Native recognisers may abort; then this process ends and the stream goes on. It
reads audio on standard input and writes answers to what was standard output;
whatever libraries print goes to standard error. It ends when its input does.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from streamer.asr.gate import webrtc_gate
from streamer.asr.hearing import Decoder, Hearing
from streamer.asr.pipe import Audio, Failed, Heard, Ready, answer_line, read_message

_NICE = 10


def make_decoder(kind: str, folder: Path) -> Decoder:
    """Load a recogniser; raises whatever its library raises."""
    threads = max((os.cpu_count() or 2) // 2, 1)
    match kind:
        case "pocketsphinx":
            from streamer.asr.pocketsphinx import PocketSphinx

            return PocketSphinx()
        case "sherpa":
            from streamer.asr.sherpa import Sherpa

            return Sherpa(folder, threads=threads)
        case "transformers":
            from streamer.asr.agreement import LocalAgreement
            from streamer.asr.transformers import load_transcriber

            return LocalAgreement(load_transcriber(folder, threads=threads))
        case _:
            raise ValueError(f"no recogniser {kind!r}")


def main(arguments: list[str]) -> int:
    """Serve one owner; return the exit code."""
    _yield_to_others()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    kind, folder = arguments[0], Path(arguments[1] if len(arguments) > 1 else ".")
    try:
        hearing = Hearing(make_decoder(kind, folder), webrtc_gate())
    except Exception as error:  # whatever a library finds wrong with a model
        reason = str(error).strip().splitlines() or [repr(error)]
        answers.write(answer_line(Failed(message=reason[-1][:300])))
        return 3
    answers.write(answer_line(Ready()))
    with contextlib.suppress(BrokenPipeError):
        serve(hearing, sys.stdin.buffer, answers)
    return 0


def _yield_to_others() -> None:
    """Let the steps of the network go first; on Windows the owner sees to it."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        # Desktop Linux weighs whole sessions alike, and we have one of our own. Lowering that
        # weight too was tried: beside a busy program it left hardly any words (docs/words.md).
        os.nice(_NICE)


def serve(hearing: Hearing, questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer every message until there are no more."""
    sample = 0
    while (message := read_message(questions)) is not None:
        if isinstance(message, Audio):
            sample = message.start + len(message.pcm)
            said = hearing.push(message.start, message.pcm)
            answers.write(answer_line(Heard(sample=sample, hypotheses=tuple(said))))
        else:
            said = hearing.flush()
            answers.write(answer_line(Heard(sample=sample, hypotheses=tuple(said), flushed=True)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
