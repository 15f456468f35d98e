"""What tests of any kind share."""

import os

import pytest


def require(available: bool, reason: str) -> None:
    """Skip the test with a reason when a system part is missing; fail in CI.

    A part that CI must have (PulseAudio, Chromium) would otherwise go untested
    without anyone noticing.
    """
    if available:
        return
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must provide this: {reason}", pytrace=False)
    pytest.skip(reason)
