"""Finding VRChat on this machine by OSCQuery (protocols.md 2.6); needs `zeroconf`.

Only services of this machine count: whoever else answers on the network must be
named by address.
"""

import ipaddress
import json
import logging
import queue
import time
import urllib.request
from importlib import import_module
from typing import Any, Final, cast

from streamer.errors import InputError

_log = logging.getLogger(__name__)

USUAL: Final = ("127.0.0.1", 9_000)
"""Where VRChat listens unless it was told otherwise."""

_SERVICE: Final = "_oscjson._tcp.local."
_NAME: Final = "VRChat-Client"
_LARGEST: Final = 64 * 1024


def find_vrchat(*, wait_s: float = 2.0, interface: str | None = None) -> tuple[str, int]:
    """Return host and port of VRChat's OSC; the usual ones where nothing is found.

    It blocks for up to `wait_s` and a little. interface: an address to look on,
    None for every one.
    """
    try:
        library: Any = import_module("zeroconf")
    except ImportError:
        _log.warning("--vrchat auto: zeroconf is not installed; taking %s:%d", *USUAL)
        return USUAL
    found = queue.Queue[str]()
    arguments = {} if interface is None else {"interfaces": [interface]}
    network: Any = library.Zeroconf(**arguments)
    try:

        def changed(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
            if name.startswith(_NAME):
                found.put(name)

        library.ServiceBrowser(network, _SERVICE, handlers=[changed])
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            try:
                name = found.get(timeout=left)
            except queue.Empty:
                break
            info: Any = network.get_service_info(_SERVICE, name, timeout=1_000)
            if info is None:
                continue
            hosts = cast(list[str], info.parsed_addresses())
            for host in (h for h in hosts if ipaddress.ip_address(h).is_loopback):
                try:
                    return ask(host, int(info.port))
                except (OSError, InputError) as error:
                    _log.warning("--vrchat auto: %s does not answer: %s", name, error)
    finally:
        network.close()
    _log.warning("--vrchat auto: VRChat was not found; taking %s:%d", *USUAL)
    return USUAL


def ask(host: str, port: int) -> tuple[str, int]:
    """Return where a program listens, by its own HOST_INFO; raises `OSError`, `InputError`."""
    url = f"http://{host}:{port}/?HOST_INFO"
    with urllib.request.urlopen(url, timeout=2) as answer:
        data = answer.read(_LARGEST + 1)
    try:
        if len(data) > _LARGEST:
            raise ValueError("too long")
        info = cast(dict[str, Any], json.loads(data))
        found = int(info["OSC_PORT"])
        address = ipaddress.ip_address(str(info.get("OSC_IP", host)))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{url}: no HOST_INFO ({str(error)[:60]})") from error
    if not 0 < found < 65_536 or not address.is_loopback:
        raise InputError(f"{url}: names {address}:{found}, which is not on this machine")
    return str(address), found
