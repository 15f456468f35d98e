"""Records of three old pyarrows; what each type is comes from the script that wrote them."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import InputError
from training.convert.arrow_records import read_record

GOLDEN = Path(__file__).parents[1] / "golden" / "ted_lmdb"
VERSIONS = ("0.14.1", "0.17.1", "11.0.0")


def written() -> dict[str, Any]:
    """Return `values()` of the script; the old pyarrow that it imports is not needed for it."""
    spec = importlib.util.spec_from_file_location("make_ted_lmdb", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("pyarrow")
    sys.modules["pyarrow"] = types.ModuleType("pyarrow")
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["pyarrow"]
        if before is not None:
            sys.modules["pyarrow"] = before
    return module.values()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_comes_back(version: str) -> None:
    got = read_record((GOLDEN / f"values_{version}.bin").read_bytes())
    want = written()
    arrays = got.pop("arrays")
    for array, expected in zip(arrays, want.pop("arrays"), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
        assert not array.flags.writeable
    want["tuple"] = list(want["tuple"])  # a sequence is a list
    assert got == want
    assert [type(x) for x in got["numbers"]] == [int, int, float, float, int, float]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cut_record_is_an_error(version: str) -> None:
    data = (GOLDEN / f"values_{version}.bin").read_bytes()
    whole = read_record(data)
    for end in range(0, len(data), 7):
        try:
            assert read_record(data[:end]).keys() == whole.keys()  # only padding was cut
        except InputError as error:
            assert "pyarrow.serialize" in str(error)  # noqa: PT017


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_never_do_worse_than_an_input_error(data: st.DataObject) -> None:
    version = data.draw(st.sampled_from(VERSIONS))
    record = bytearray((GOLDEN / f"values_{version}.bin").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_record(bytes(record))
    except InputError:
        pass


def test_a_pickled_object_is_refused() -> None:
    data = (GOLDEN / "values_11.0.0.bin").read_bytes()
    # two neighbouring keys make one of eight letters
    both = data.replace(b"textnone", b"_pytype_")
    assert both != data
    both = _as_one_key(both)
    with pytest.raises(InputError, match="pickled"):
        read_record(both)


def _as_one_key(data: bytes) -> bytes:
    """Move the border between the keys `text` and `none` so that the first has all 8 letters."""
    at = data.index(b"_pytype_")
    borders = np.array([0, 4, 8], "<i4").tobytes()
    place = data.rindex(borders, 0, at)
    return data[:place] + np.array([0, 8, 8], "<i4").tobytes() + data[place + 12 :]
