"""What a settings panel relies on: the schema and the page say what the engine does."""

import json
from pathlib import Path

import jsonschema
import pytest

from streamer.comfort_settings import LIMITS, Settings, as_mapping
from streamer.gestures import GESTURES
from streamer.types import Event
from streamer.wire import event_json

CLIENTS = Path(__file__).resolve().parents[2] / "clients"
SCHEMA = json.loads((CLIENTS / "protocol.schema.json").read_text("utf-8"))


def test_the_schema_knows_every_setting_and_its_limits() -> None:
    known = SCHEMA["$defs"]["settings"]["properties"]
    assert set(known) == set(as_mapping(Settings()))
    for name, (low, high) in LIMITS.items():
        entry = known[name]
        entry = SCHEMA["$defs"][entry["$ref"].split("/")[-1]] if "$ref" in entry else entry
        assert (entry["minimum"], entry["maximum"]) == (low, high), name


def test_the_event_is_one_of_the_protocol() -> None:
    server = {**SCHEMA, "anyOf": [{"$ref": "#/$defs/server"}]}
    data = as_mapping(Settings(torso_radius=0.16))
    jsonschema.validate(json.loads(event_json(Event(kind="settings", sample=0, data=data))), server)
    wrong = {**data, "amplitude": 9.0}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            json.loads(event_json(Event(kind="settings", sample=0, data=wrong))), server
        )


def test_the_page_names_every_setting_and_gesture() -> None:
    page = (CLIENTS / "PROTOCOL.md").read_text("utf-8")
    section = page.split("### Settings")[1].split("\n### ")[0]
    for name in (*as_mapping(Settings()), *GESTURES, "save", "load", "neutral"):
        assert f"`{name}`" in section, name
