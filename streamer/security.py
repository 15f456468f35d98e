"""Who may talk to the server: addresses, origins, tokens, rates (DESIGN 11).

A page of another site runs in the streamer's own browser, so being on loopback
proves nothing: `Host` must be one of our own names (else a name rebound to
127.0.0.1 gets in) and `Origin` one of our own pages. A program sends no
`Origin` and is let in; any bind beyond loopback needs TLS and a token as well.
"""

import hmac
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamer.clock import Clock
from streamer.errors import UsageError

MIN_TOKEN: Final = 16
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(bind: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if bind == "localhost":
        return True
    try:
        return ipaddress.ip_address(bind.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(
    *, bind: str, hosts: Sequence[str], cert: Path | None, key: Path | None, token: str | None
) -> None:
    """Raise `UsageError` unless others can only come in over TLS and with a token.

    hosts: further names under which a proxy reaches us on loopback; the proxy
    then does the TLS, the token is still ours.
    """
    if (cert is None) != (key is None):
        raise UsageError("TLS needs both a certificate and its key: give both or neither")
    if token is not None and len(token) < MIN_TOKEN:
        raise UsageError(
            f"the token has {len(token)} characters, at least {MIN_TOKEN} are needed; "
            'try: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    if not is_loopback(bind) and (cert is None or token is None):
        missing = "a token" if cert else "a TLS certificate and key" if token else "TLS and a token"
        raise UsageError(
            f"binding to {bind} lets other machines in and needs {missing}; "
            "give them, or bind to 127.0.0.1"
        )
    if hosts and token is None:
        raise UsageError(f"serving as {hosts[0]} lets other machines in and needs a token")


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the server's TLS context; raises `UsageError` for unusable files."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # The empty password makes an encrypted key an error, not a prompt.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot use certificate {cert} with key {key}: {error}") from error
    return context


def same_token(given: str | None, expected: str) -> bool:
    """Compare tokens in constant time."""
    return hmac.compare_digest((given or "").encode(), expected.encode())


def bearer(authorization: Sequence[str]) -> str | None:
    """Return the token of `Authorization: Bearer TOKEN`, if there is one."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """The fixed list of our own names; made once the port is known.

    hosts: `name:port` as browsers write it, lower case. origins: pages of ours.
    wildcard: bound to every address, so the local address of a connection is
    ours as well (an address, unlike a name, cannot be rebound).
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    port: int
    scheme: str
    wildcard: bool

    @classmethod
    def of(cls, *, bind: str, port: int, tls: bool, hosts: Sequence[str]) -> "AccessPolicy":
        """Return the policy of a server that listens on an address.

        hosts: further names, `stream.example.org` or `stream.example.org:8443`;
        their pages come over https.
        """
        scheme = "https" if tls else "http"
        names = {*_LOOPBACK_NAMES, _bracketed(bind)}
        own = {_authority(name, port, scheme) for name in names}
        own |= {f"{name}:{port}" for name in names}  # some programs write the default port too
        public = {host.lower() for host in hosts}
        public |= {f"{host}:{port}" for host in public if ":" not in host}
        return cls(
            hosts=frozenset(own | public),
            origins=frozenset(
                {f"{scheme}://{host}" for host in own} | {f"https://{host}" for host in public}
            ),
            port=port,
            scheme=scheme,
            wildcard=bind in ("0.0.0.0", "::"),
        )

    def refusal(
        self, *, host: Sequence[str], origin: Sequence[str], local: str | None = None
    ) -> str | None:
        """Return why a request is refused, or None.

        host, origin: every value of those headers. local: the address of ours
        that the connection came in on.
        """
        hosts, origins = self.hosts, self.origins
        if self.wildcard and local is not None:
            own = _authority(_bracketed(local), self.port, self.scheme)
            hosts, origins = hosts | {own}, origins | {f"{self.scheme}://{own}"}
        if len(host) != 1 or host[0].lower() not in hosts:
            return f"Host {' '.join(host)[:80]!r} is not this server's name"
        if origin and (len(origin) != 1 or origin[0].lower() not in origins):
            return f"Origin {' '.join(origin)[:80]!r} is not a page of this server"
        return None


class RateLimit:
    """A token bucket: `rate` a second on average, `burst` at once."""

    def __init__(self, *, rate: float, burst: float, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def take(self, amount: float = 1.0) -> bool:
        """Take `amount`; False when it is too much."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


def _bracketed(address: str) -> str:
    bare = address.strip("[]").lower()
    return f"[{bare}]" if ":" in bare else bare


def _authority(name: str, port: int, scheme: str) -> str:
    default = 443 if scheme == "https" else 80
    return name if port == default else f"{name}:{port}"
