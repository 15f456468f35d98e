from pathlib import Path

import pytest

from streamer.errors import UsageError
from streamer.security import (
    AccessPolicy,
    RateLimit,
    bearer,
    check_exposure,
    is_loopback,
    same_token,
    tls_context,
)

LOCAL = AccessPolicy.of(bind="127.0.0.1", port=8765, tls=False, hosts=())
TOKEN = "x" * 16


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"]
)
@pytest.mark.parametrize(
    "origin",
    [[], ["http://127.0.0.1:8765"], ["http://localhost:8765"], ["http://[::1]:8765"]],
)
def test_own_names_and_own_pages_come_in(host, origin):
    assert LOCAL.refusal(host=[host], origin=origin) is None


@pytest.mark.parametrize(
    "host",
    [
        [],
        [""],
        ["127.0.0.1"],
        ["127.0.0.1:80"],
        ["rebound.example:8765"],
        ["127.0.0.1:8765.evil.example"],
        ["localhost.:8765"],
        ["evil@localhost:8765"],
        ["localhost:8765", "localhost:8765"],
    ],
)
def test_other_names_do_not(host):
    assert "Host" in (LOCAL.refusal(host=host, origin=[]) or "")


@pytest.mark.parametrize(
    "origin",
    [
        ["null"],
        [""],
        ["file://"],
        ["https://evil.example"],
        ["http://evil.example:8765"],
        ["https://localhost:8765"],
        ["http://localhost"],
        ["http://localhost:8766"],
        ["http://localhost:8765.evil.example"],
        ["http://localhost:8765", "http://localhost:8765"],
    ],
)
def test_other_pages_do_not(origin):
    refusal = LOCAL.refusal(host=["localhost:8765"], origin=origin)
    assert "Origin" in (refusal or "")


def test_the_default_port_may_be_left_out():
    policy = AccessPolicy.of(bind="127.0.0.1", port=80, tls=False, hosts=())
    for host in ("localhost", "localhost:80"):
        assert policy.refusal(host=[host], origin=["http://localhost"]) is None


def test_a_name_behind_a_proxy_comes_in_over_https_alone():
    policy = AccessPolicy.of(bind="127.0.0.1", port=8765, tls=False, hosts=("Live.Example.org",))
    host = ["live.example.org"]
    assert policy.refusal(host=host, origin=["https://live.example.org"]) is None
    assert policy.refusal(host=host, origin=["http://live.example.org"])


def test_a_server_on_every_address_knows_the_one_it_was_reached_at():
    policy = AccessPolicy.of(bind="0.0.0.0", port=8765, tls=True, hosts=())
    given = {"host": ["192.168.1.7:8765"], "origin": ["https://192.168.1.7:8765"]}
    assert policy.refusal(**given, local="192.168.1.7") is None
    assert policy.refusal(**given, local="10.0.0.1")
    assert policy.refusal(host=["rebound.example:8765"], origin=[], local="192.168.1.7")
    assert policy.refusal(host=["[fe80::1]:8765"], origin=[], local="fe80::1") is None


def test_loopback():
    loopback = ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"]
    assert [b for b in loopback if not is_loopback(b)] == []
    assert [b for b in ("0.0.0.0", "::", "192.168.1.7", "example.org", "") if is_loopback(b)] == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"bind": "0.0.0.0"}, "TLS and a token"),
        ({"bind": "192.168.1.7", "token": TOKEN}, "TLS certificate"),
        ({"bind": "::", "cert": Path("c"), "key": Path("k")}, "a token"),
        ({"cert": Path("c")}, "both"),
        ({"token": "short"}, "at least 16"),
        ({"hosts": ("live.example.org",)}, "token"),
    ],
)
def test_exposure_without_protection_is_refused(given, reason):
    options = {"bind": "127.0.0.1", "hosts": (), "cert": None, "key": None, "token": None, **given}
    with pytest.raises(UsageError, match=reason):
        check_exposure(**options)


def test_exposure_with_protection_is_not():
    check_exposure(bind="127.0.0.1", hosts=(), cert=None, key=None, token=None)
    check_exposure(bind="0.0.0.0", hosts=(), cert=Path("c"), key=Path("k"), token=TOKEN)
    check_exposure(bind="::1", hosts=("live.example.org",), cert=None, key=None, token=TOKEN)


def test_unusable_certificates_are_one_clear_error(tmp_path):
    cert = tmp_path / "cert.pem"
    with pytest.raises(UsageError, match=r"cert\.pem"):
        tls_context(cert, cert)
    cert.write_text("nonsense")
    with pytest.raises(UsageError, match=r"cert\.pem"):
        tls_context(cert, cert)


def test_tokens():
    assert same_token(TOKEN, TOKEN)
    assert not same_token(TOKEN + "x", TOKEN)
    assert not same_token(None, TOKEN)
    assert same_token("ü" * 16, "ü" * 16)
    assert bearer([f"Bearer {TOKEN}"]) == TOKEN
    assert bearer([f"bearer  {TOKEN}"]) == TOKEN
    assert bearer([]) is None
    assert bearer([f"Basic {TOKEN}"]) is None
    assert bearer(["Bearer a", "Bearer b"]) is None


def test_a_bucket_refills_and_does_not_overflow():
    now = 0.0
    limit = RateLimit(rate=10, burst=5, clock=lambda: now)
    assert [limit.take() for _ in range(6)] == [True] * 5 + [False]
    now = 0.25
    assert [limit.take() for _ in range(3)] == [True, True, False]
    now = 1000.0
    assert not limit.take(6)
    assert limit.take(5)
