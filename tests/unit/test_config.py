import argparse
from pathlib import Path

import pytest

from streamer.config import parse_count, parse_counts, parse_port, parse_positive, parse_style
from streamer.errors import ConfigError, UsageError
from streamer.options import (
    bench_config,
    live_config,
    parse,
    render_config,
    replay_config,
    serve_config,
)


def toml(folder: Path, text: str) -> str:
    path = folder / "gesture.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_of_live() -> None:
    config = live_config(parse(["live"]))
    assert (config.source, config.asr, config.duration, config.record) == ("mic", "auto", None, ())
    assert config.server is not None
    assert (config.server.bind, config.server.port) == ("127.0.0.1", 8765)
    assert (config.model.model, config.model.backend) == ("ha2g-stream-small", "auto")
    assert (config.model.lookahead, config.model.style, config.model.seed) == (None, None, 18)


def test_every_option_of_live_arrives() -> None:
    words = "live --source a.wav --device 3 --model m --backend onnxruntime --lookahead 4"
    words += " --asr none --style calm=1,big=3 --seed 9 --avatar me.vrm --vmc [::1]:39539"
    words += (
        " --output-fps 30 --record a.jsonl --record b.npz --bind 0.0.0.0 --port 0 --duration 2.5"
    )
    config = live_config(parse(words.split()))
    assert config.source == "a.wav"
    assert (config.device, config.asr, config.duration) == ("3", "none", 2.5)
    assert config.model.style == {"calm": 1.0, "big": 3.0}
    assert (config.model.lookahead, config.model.seed) == (4, 9)
    assert config.vmc == ("::1", 39_539)
    assert config.record == (Path("a.jsonl"), Path("b.npz"))
    assert config.avatar == Path("me.vrm")
    assert config.output_fps == 30
    assert config.server is not None
    assert (config.server.bind, config.server.port) == ("0.0.0.0", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--vmc-in 39540", "--vmc HOST:PORT"),
        ("--vmc-role assistant", "--vmc HOST:PORT"),
        ("--vmc 127.0.0.1:1 --vmc-from 192.168.1.7", "need --vmc-in PORT"),
        ("--vmc 127.0.0.1:1 --vmc-in 39540 --vmc-from tracker", "an IPv4 address"),
        ("--vmc 127.0.0.1:1 --vmc-in 39540 --vmc-delay -1", "0 to 5000 milliseconds"),
        ("--vmc 127.0.0.1:1 --vmc-in 0", "39540"),
    ],
)
def test_vmc_options_that_clash(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        live_config(parse(["live", *words.split()]))


def test_vmc_options_arrive_at_live_and_replay() -> None:
    words = "--vmc 127.0.0.1:39539 --vmc-role assistant --vmc-in 39540 --vmc-from 10.0.0.2"
    words += " --vmc-mix mix.toml --vmc-delay 340 --osc-in 9100"
    for config in (
        live_config(parse(["live", *words.split()])),
        replay_config(parse(["replay", "a.jsonl", *words.split()])),
    ):
        told = config.vmc_options
        assert (told.role, told.listen, told.sender) == ("assistant", 39_540, "10.0.0.2")
        assert (told.mix, told.delay_ms, config.osc_in) == (Path("mix.toml"), 340.0, 9_100)


def test_vrchat_options() -> None:
    words = "live --vrchat 127.0.0.1:9000 --vrchat-captions --vrchat-trackers 1.75"
    vrchat = live_config(parse(words.split())).vrchat
    assert vrchat is not None
    assert (vrchat.host, vrchat.port, vrchat.captions, vrchat.height) == (
        "127.0.0.1",
        9_000,
        True,
        1.75,
    )
    found = live_config(parse(["live", "--vrchat", "auto"])).vrchat
    assert found is not None
    assert found.host == "auto"
    for words, said in (
        ("--vrchat-captions", "need --vrchat"),
        ("--vrchat 127.0.0.1:9000 --vrchat-trackers 17", "height in metres"),
        ("--vrchat 9000", "--vrchat 9000: expected HOST:PORT"),
    ):
        with pytest.raises(UsageError, match=said):
            live_config(parse(["live", *words.split()]))


def test_the_other_commands() -> None:
    render = render_config(parse(["render", "a.wav", "-o", "a.npz", "--output=b.jsonl"]))
    assert render.output == (Path("a.npz"), Path("b.jsonl"))
    serve = serve_config(parse(["serve", "--sessions", "3", "--host", "a.example"]))
    assert (serve.sessions, serve.server.hosts) == (3, ("a.example",))
    words = "live --bind 10.0.0.2 --host box:8765 --cert c.pem --key k.pem --token sixteen-letters!"
    live = live_config(parse(words.split()))
    assert live.server is not None
    assert (live.server.token, live.server.cert) == ("sixteen-letters!", Path("c.pem"))
    assert "sixteen" not in repr(live)  # nor in any log
    bench = bench_config(parse(["bench", "--slots", "1, 8", "--seconds", "2"]))
    assert (bench.slots, bench.seconds, bench.log) == ((1, 8), 2.0, None)


def test_a_file_tells_the_same_and_the_command_line_wins(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        """
        source = "demo"
        lookahead = 4
        output-fps = 30.5
        style = "big=0.5,calm=0.5"
        record = ["a.jsonl"]
        no-server = true
        json = false
        """,
    )
    told = parse(["live", "--config", path, "--lookahead", "0"])
    config = live_config(told)
    assert (config.source, config.model.lookahead, config.output_fps) == ("demo", 0, 30.5)
    assert config.model.style == {"big": 0.5, "calm": 0.5}
    assert config.server is None
    assert config.record == (Path("a.jsonl"),)
    assert not told.json


def test_a_file_for_a_command_with_arguments(tmp_path: Path) -> None:
    path = toml(tmp_path, 'seed = 4\noutput = ["a.npz"]')
    config = render_config(parse(["render", "a.wav", "--config", path]))
    assert (config.source, config.model.seed, config.output) == ("a.wav", 4, (Path("a.npz"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lookahed = 2", "unknown key 'lookahed'; there are .*lookahead"),
        ("config = 'x'", "unknown key 'config'"),
        ("[model]\nname = 'x'", "model is .*expected a text or a number"),
        ("lookahead = 'two'", "argument --lookahead: 'two'"),
        ("lookahead = true", "lookahead is True; expected a text or a number"),
        ("no-server = 1", "no-server is 1; expected true or false"),
        ("record = [1]", r"record is \[1\]; expected a list of texts"),
        ("backend = 'cuda'", "argument --backend: invalid choice: 'cuda'"),
        ("port = 70000", "argument --port"),
        ("duration = nan", "argument --duration"),
        ("source = ", "not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"gesture\.toml: {message}"):
        parse(["live", "--config", path])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        parse(["live", "--config", str(tmp_path / "nowhere.toml")])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        parse(["live", "--config", str(tmp_path / "binary.toml")])


@pytest.mark.parametrize(
    "words",
    [
        ["live", "--sourc", "demo"],
        ["live", "--vmc", "localhost"],
        ["live", "--vmc", "localhost:99999"],
        ["live", "--duration", "0"],
        ["live", "--style", "calm=x"],
        ["live", "--avatar", "a.vrm", "--no-server"],
        ["render", "a.wav"],
        ["serve", "--sessions", "0"],
        ["bench", "--slots", "0,1"],
        ["dance"],
        [],
    ],
)
def test_a_wrong_command_line(words: list[str]) -> None:
    configure = {"live": live_config, "serve": serve_config}
    with pytest.raises(UsageError) as caught:
        configure.get(words[0] if words else "", str)(parse(words))  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_values() -> None:
    assert parse_style("big") == {"big": 1.0}
    assert parse_style("a=1, b=2") == {"a": 1.0, "b": 2.0}
    assert parse_counts("1,8") == (1, 8)
    assert parse_port("0") == 0
    for parser, bad in (
        (parse_style, "=1"),
        (parse_style, "a=-1"),
        (parse_style, "a=inf"),
        (parse_count, "-1"),
        (parse_count, "²"),
        (parse_count, "9" * 5_000),
        (parse_port, "65536"),
        (parse_positive, "-3"),
        (parse_positive, "nan"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            parser(bad)
