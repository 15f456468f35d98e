"""The table of choices: every variant can be made, and free runs are whole sessions."""

from dataclasses import replace

import numpy as np
import pytest

from export.parity import probe_signal
from models.ha2g_stream import PRESETS
from tests.stream_networks import tiny_network
from training.fit import FitOptions
from training.losses_stream import LossWeights
from training.relative import BOUNDS, Measured
from training.selection import VARIANTS, Variant, free_run, table


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_variants_change_what_exists(variant: Variant):
    config = replace(PRESETS["small"], **variant.config)
    assert len(config.hidden) == len(config.layers)
    replace(LossWeights(), **variant.losses)
    replace(FitOptions(), **variant.options)
    shared = [v for v in VARIANTS if v.trained == variant.trained]
    kinds = {str((v.config, v.losses, v.options)) for v in shared}
    assert len(kinds) == 1, "variants of one run are trained alike"


def test_a_free_run_is_a_session_of_its_seed():
    network, audio = tiny_network(), probe_signal(3.0, 3)
    first = free_run(network, audio, 44, 2, 7)
    assert first.shape == (42, 45, 3)
    assert np.abs(np.linalg.norm(first, axis=-1) - 1).max() < 1e-6
    assert np.array_equal(first, free_run(network, audio, 44, 2, 7))
    assert not np.allclose(first, free_run(network, audio, 44, 2, 8), atol=1e-3)


def test_the_table_has_a_row_for_each_variant():
    measured = Measured(value=0.3, relative=0.97, low=0.9, high=1.0, verdict="passes")
    text = table({"a": dict.fromkeys(BOUNDS, measured)}, 200)
    assert text.splitlines()[-1].count("0.97") == len(BOUNDS)
    assert "200 steps" in text
