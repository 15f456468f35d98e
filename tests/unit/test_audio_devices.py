import sys
from dataclasses import replace

import pytest

from streamer.audio.devices import Device, choose_device, find_again, list_devices
from streamer.errors import UsageError


def device(index: int, name: str, host_api: str = "ALSA", **more: object) -> Device:
    plain = Device(
        index=index, name=name, host_api=host_api, channels=2, rate=48_000, is_default=False
    )
    return replace(plain, **more)


LINUX = (
    device(0, "HDA Intel PCH: ALC257 Analog (hw:0,0)"),
    device(4, "Blue Yeti: USB Audio (hw:1,0)"),
    device(6, "Yeti Nano: USB Audio (hw:2,0)"),
    device(8, "default", is_default=True),
)
WINDOWS = (
    device(1, "Microphone (Yeti Stereo Microph", "MME"),
    device(5, "Microphone (Yeti Stereo Microphone)", "Windows DirectSound"),
    device(9, "Microphone (Yeti Stereo Microphone)", "Windows WASAPI", is_default=True),
    device(14, "Microphone (Yeti Stereo Microphone)", "Windows WDM-KS"),
    device(15, "Line In (Realtek)", "Windows WDM-KS"),
)


@pytest.mark.parametrize(
    ("devices", "wanted", "index"),
    [
        (LINUX, None, 8),
        (LINUX, "blue", 4),
        (LINUX, "NANO", 6),
        (LINUX, "Default", 8),
        (LINUX, "6", 6),
        (LINUX, " 6 ", 6),
        (WINDOWS, None, 9),
        (WINDOWS, "yeti", 9),
        (WINDOWS, "microphone (yeti stereo microphone)", 9),
        (WINDOWS, "1", 1),
        (WINDOWS, "line in", 15),
    ],
)
def test_the_device_that_is_meant(
    devices: tuple[Device, ...], wanted: str | None, index: int
) -> None:
    assert choose_device(devices, wanted).index == index


@pytest.mark.parametrize(
    ("devices", "wanted", "says"),
    [
        (LINUX, "shure", r"no such audio device: 'shure'.* 0 'HDA.*8 'default' \(ALSA, default\)$"),
        (LINUX, "yeti", r"several .* fit 'yeti'.* 4 'Blue.* 6 'Yeti Nano[^,]*,0\)' \(ALSA\)$"),
        (LINUX, "5", "no such audio device: 5; choose one of 0"),
        (LINUX[:3], None, "there is no default audio device; choose one of 0"),
        ((), None, "no audio device was found; .*--source demo"),
        ((), "yeti", "no audio device was found"),
    ],
)  # fmt: skip
def test_what_fits_none_or_several_is_answered_with_a_list(
    devices: tuple[Device, ...], wanted: str | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        choose_device(devices, wanted)
    assert "\n" not in str(caught.value)


def test_a_device_that_comes_back_is_known_by_its_name() -> None:
    yeti = LINUX[1]
    assert find_again(LINUX, yeti) == yeti
    moved = replace(yeti, index=11)
    assert find_again((LINUX[0], moved), yeti) == moved
    assert find_again((LINUX[0], LINUX[2]), yeti) is None
    twin = replace(yeti, index=2)
    assert find_again((twin, yeti), yeti) == yeti


class FakeSounddevice:
    """What `list_devices` asks of sounddevice, as on Windows."""

    class default:
        device = {"input": 0, "output": 3}  # noqa: RUF012

    @staticmethod
    def query_hostapis() -> tuple[dict[str, object], ...]:
        return (
            {"name": "MME", "default_input_device": 0, "default_output_device": 3},
            {"name": "Windows WASAPI", "default_input_device": 2, "default_output_device": -1},
        )

    @staticmethod
    def query_devices() -> list[dict[str, object]]:
        rows = [(0, "Mapper", 0, 2, 0), (1, "Speakers", 1, 0, 2), (2, "Mic", 1, 1, 0)]
        rows.append((3, "Speak", 0, 0, 2))
        return [
            {
                "index": index,
                "name": name,
                "hostapi": api,
                "max_input_channels": inputs,
                "max_output_channels": outputs,
                "default_samplerate": 44_100.0,
            }
            for index, name, api, inputs, outputs in rows
        ]


def test_windows_defaults_to_wasapi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice)
    inputs = list_devices()
    assert [(d.index, d.host_api, d.is_default) for d in inputs] == [
        (0, "MME", False),
        (2, "Windows WASAPI", True),
    ]
    assert inputs[0].rate == 44_100
    outputs = list_devices("output")
    assert [(d.name, d.channels, d.is_default) for d in outputs] == [
        ("Speakers", 2, False),
        ("Speak", 2, True),
    ]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"pip install 'gesture-streamer\[mic\]'"):
        list_devices()


def test_without_portaudio_it_names_the_system_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoPortAudio:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(), *sys.meta_path])
    with pytest.raises(UsageError, match="apt install libportaudio2"):
        list_devices()
