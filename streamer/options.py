"""The options of every subcommand, and what they become."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from streamer import __version__
from streamer.asr.opening import KINDS, parse_asr
from streamer.asr.policy import POLICIES
from streamer.backends.loading import BACKENDS, DEFAULT_MODEL
from streamer.backends.precision import PRECISIONS
from streamer.config import (
    BenchConfig,
    LiveConfig,
    ModelConfig,
    RenderConfig,
    ReplayConfig,
    ServeConfig,
    ServerOptions,
    config_arguments,
    parse_count,
    parse_counts,
    parse_port,
    parse_positive,
    parse_style,
)
from streamer.errors import UsageError
from streamer.options_outlets import (
    add_bone_map,
    add_mouth,
    add_osc_in,
    add_outlets,
    bone_map,
    target,
    vmc_options,
    vmc_target,
    vrchat_options,
)
from streamer.windowing import DEFAULT_SEED


def _model(told: argparse.Namespace) -> ModelConfig:
    return ModelConfig(
        model=told.model,
        backend=told.backend,
        precision=told.precision,
        lookahead=told.lookahead,
        style=told.style,
        seed=told.seed,
    )


def live_config(told: argparse.Namespace) -> LiveConfig:
    """Return what `gesture live` was told; raises `UsageError` where it clashes."""
    server = None if told.no_server else _server(told)
    if told.avatar is not None and server is None and told.vmc is None and not told.record:
        raise UsageError("--avatar needs the page, --vmc or --record; leave out --no-server")
    return LiveConfig(
        source=told.source,
        model=_model(told),
        device=told.device,
        asr=told.asr,
        words=told.words,
        avatar=told.avatar,
        vmc=vmc_target(told.vmc),
        output_fps=told.output_fps,
        vmc_options=vmc_options(told),
        vrchat=vrchat_options(told),
        rokoko=target("--rokoko", told.rokoko, 14_043),
        livelink_face=target("--livelink-face", told.livelink_face, 11_111),
        osc_in=told.osc_in,
        record=tuple(told.record),
        bone_map=bone_map(told),
        server=server,
        duration=told.duration,
        mouth=told.mouth,
    )


def _server(told: argparse.Namespace) -> ServerOptions:
    return ServerOptions(
        bind=told.bind,
        port=told.port,
        token=told.token,
        cert=told.cert,
        key=told.key,
        hosts=tuple(told.host),
    )


def render_config(told: argparse.Namespace) -> RenderConfig:
    """Return what `gesture render` was told."""
    return RenderConfig(
        source=told.input,
        model=_model(told),
        output=tuple(told.output),
        asr=told.asr,
        words=told.words,
        avatar=told.avatar,
        bone_map=told.bone_map,
        duration=told.duration,
        mouth=told.mouth,
    )


def replay_config(told: argparse.Namespace) -> ReplayConfig:
    """Return what `gesture replay` was told."""
    return ReplayConfig(
        recording=told.recording,
        avatar=told.avatar,
        vmc=vmc_target(told.vmc),
        output_fps=told.output_fps,
        record=tuple(told.record),
        vmc_options=vmc_options(told),
        vrchat=vrchat_options(told),
        rokoko=target("--rokoko", told.rokoko, 14_043),
        livelink_face=target("--livelink-face", told.livelink_face, 11_111),
        osc_in=told.osc_in,
        bone_map=bone_map(told),
        server=None if told.no_server else _server(told),
        loop=told.loop,
        mouth=told.mouth,
    )


def serve_config(told: argparse.Namespace) -> ServeConfig:
    """Return what `gesture serve` was told."""
    if told.sessions < 1:
        raise UsageError("--sessions 0: at least 1 session must be allowed")
    return ServeConfig(
        model=_model(told),
        server=_server(told),
        sessions=told.sessions,
        mouth=told.mouth,
        osc_in=told.osc_in,
        asr=told.asr,
        words=told.words,
        avatar=told.avatar,
    )


def bench_config(told: argparse.Namespace) -> BenchConfig:
    """Return what `gesture bench` was told."""
    return BenchConfig(
        model=_model(told),
        slots=told.slots,
        seconds=told.seconds,
        threads=told.threads,
        log=told.log,
        compare=told.compare,
        plot=told.plot,
    )


# -- the parsers -------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as an error of ours, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options of a command line and of the file that it names.

    The command line wins. Raises `UsageError` and `ConfigError`.
    """
    parser, commands = _parsers()
    config = _Parser(add_help=False, prog="gesture")
    config.add_argument("--config", type=Path)
    if arguments and arguments[0] in commands:
        path = config.parse_known_args(arguments[1:])[0].config
        if path is not None:
            told = config_arguments(path, commands[arguments[0]])
            # before the words of the command line, so that those win
            arguments = [arguments[0], *told, *arguments[1:]]
    told = parser.parse_args(arguments)
    if told.command is None:
        parser.print_help(sys.stderr)
        raise UsageError("which command? gesture live is the one to try first")
    return told


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="gesture", description="A live voice in, a live body out.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"gesture-streamer {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    commands = dict[str, argparse.ArgumentParser]()
    for name, text, add in (
        ("live", "speak, and an avatar gestures", _add_live),
        ("render", "the motion of an audio file, faster than real time", _add_render),
        ("replay", "play a recording to the page and to other programs", _add_replay),
        ("serve", "remote sessions: clients send audio and get motion", _add_serve),
        ("bench", "measure steps, memory and start-up", _add_bench),
        ("engine", "build a TensorRT engine for this GPU", _add_engine),
        ("doctor", "check that everything is in place", _add_doctor),
        ("devices", "list the microphones", _add_nothing),
        ("models", "list the built-in models", _add_nothing),
    ):
        command = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        add(command)
        command.add_argument("--json", action="store_true", help="print one JSON object at the end")
        command.add_argument("--verbose", action="store_true", help="log everything")
        command.add_argument(
            "--config", type=Path, metavar="FILE.toml", help="options in a file, by the same names"
        )
        commands[name] = command
    return parser, commands


def _add_live(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", default="mic", metavar="mic|demo|FILE", help="the voice (default mic)"
    )
    parser.add_argument("--device", metavar="NAME", help="microphone, by name or number")
    _add_model(parser)
    _add_words(parser)
    _add_page_and_outlets(parser)
    _add_duration(parser)


def _add_page_and_outlets(parser: argparse.ArgumentParser) -> None:
    add_outlets(parser)
    parser.add_argument("--no-server", action="store_true", help="no page, no WebSocket")
    _add_server(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recording", type=Path, metavar="FILE", help=".jsonl or .npz")
    parser.add_argument("--loop", action="store_true", help="again and again")
    _add_page_and_outlets(parser)


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="FILE|demo", help="the voice")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help=".jsonl, .npz, .bvh, .vrma or .mp4; may be repeated",
    )
    parser.add_argument(
        "--avatar", type=Path, metavar="FILE.vrm", help="whom .bvh, .vrma and .mp4 show"
    )
    add_bone_map(parser)
    add_mouth(parser)
    _add_model(parser)
    _add_words(parser)
    _add_duration(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument(
        "--sessions", type=parse_count, default=64, metavar="N", help="at most so many (64)"
    )
    parser.add_argument("--avatar", type=Path, metavar="FILE.vrm", help="avatar to show")
    parser.add_argument(
        "--asr",
        type=_asr,
        default="external",
        metavar="RECOGNISER",
        help="external: clients send their words; or a recogniser for each session, "
        "pocketsphinx, sherpa:DIR or transformers:DIR",
    )
    parser.add_argument(
        "--mouth", action="store_true", help="frames have mouth and lids from the voice"
    )
    add_osc_in(parser)
    _add_policy(parser)
    _add_server(parser)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument(
        "--slots", type=parse_counts, default=(1, 8, 32, 128), metavar="N,...", help="1,8,32,128"
    )
    parser.add_argument(
        "--seconds", type=parse_positive, default=5.0, metavar="S", help="for each size (5)"
    )
    parser.add_argument("--threads", type=parse_count, default=1, metavar="N", help="1")
    parser.add_argument(
        "--compare", action="store_true", help="measure every back end and precision there is"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the rows")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE.jsonl",
        help="append to this file (in a checkout tests/bench/results/log.jsonl)",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("build",), help="build: make it and keep it (minutes)")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument(
        "--slots", type=parse_count, default=64, metavar="N", help="sessions at most (64)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="(float32); float16 needs an artifact with model.fp16.onnx",
    )
    parser.add_argument(
        "--backend",
        choices=("tensorrt", "onnxruntime-tensorrt"),
        default="tensorrt",
        help="for which back end (tensorrt)",
    )


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--port", type=parse_port, default=8765)


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    """Add no option."""


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help="built-in name or artifact"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="(auto)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of matrix products (the back end's own)"
    )
    parser.add_argument(
        "--lookahead", type=parse_count, metavar="FRAMES", help="frames waited for what comes next"
    )
    parser.add_argument(
        "--style", type=parse_style, metavar="NAME|A=X,B=Y", help="calm, or calm=0.3,big=0.7"
    )
    parser.add_argument(
        "--seed",
        type=parse_count,
        default=DEFAULT_SEED,
        metavar="N",
        help="same voice and seed, same motion",
    )


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--asr",
        type=_asr,
        default="auto",
        metavar="RECOGNISER",
        help=f"where words come from: {KINDS} (auto: the source's own, else live PocketSphinx)",
    )
    _add_policy(parser)


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--words", choices=POLICIES, default="stable_prefix", help="when a word is trusted"
    )


def _asr(text: str) -> str:
    """Check `--asr` as far as its text goes."""
    parse_asr(text)
    return text


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDR", help="listen here")
    parser.add_argument(
        "--port", type=parse_port, default=8765, help="8765; 0 takes a free one and prints it"
    )
    parser.add_argument("--token", help="what clients must send first; needed beyond loopback")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="TLS certificate chain")
    parser.add_argument("--key", type=Path, metavar="FILE", help="TLS private key")
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="further name of this server"
    )


def _add_duration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--duration", type=parse_positive, metavar="S", help="end after so many seconds of audio"
    )
