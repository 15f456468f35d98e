"""Plain HTTP: the pages, what the one without an engine runs, the avatar, health and metrics.

`websockets` answers a GET that is no WebSocket handshake through its
`process_request`; each response closes its connection.
"""

import asyncio
import hashlib
import http
import json
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from streamer.backends.loading import DEFAULT_MODEL, built_in_models
from streamer.metrics import INSTALL_HINT, Metrics
from streamer.security import bearer, same_token
from streamer.serving.avatars import AvatarStore

# Not `mimetypes`: on Windows the registry decides there, often wrongly for .js.
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".vrm": "model/gltf-binary",
    ".glb": "model/gltf-binary",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".flac": "audio/flac",
}
_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
_HASHED: Final = re.compile(r"[-.][0-9A-Za-z_-]{8,}\.\w+$")
"""`index-BxZ3k9Qa.js`: the name that Vite gives a file changes with its content."""


class Pages:
    """Answers GET and HEAD; the event loop's alone.

    web: folder of the built pages. readiness: whether new sessions are taken, and
    what to say of it. token: needed for the avatar and the metrics when set.
    local: what `local.html`, the engine in a page, loads besides, by URL path; by
    default what is built in.
    """

    def __init__(
        self,
        *,
        web: Path,
        avatars: AvatarStore,
        metrics: Metrics,
        token: str | None,
        readiness: Callable[[], tuple[bool, Mapping[str, Any]]],
        local: Mapping[str, Path] | None = None,
    ) -> None:
        self._web = web.resolve()
        self._local = built_in_files() if local is None else local
        self._avatars = avatars
        self._metrics = metrics
        self._token = token
        self._readiness = readiness
        self._etags: dict[tuple[Path, int, int], str] = {}

    async def respond(self, request: Request, host: str) -> Response:
        """Return the response; `host` has been checked to be a name of ours."""
        method = getattr(request, "method", "GET")  # websockets 15 knows GET only
        if method not in ("GET", "HEAD"):
            return text_response(405, "only GET and HEAD", {"Allow": "GET, HEAD"})
        answer = await self._route(request)
        answer.headers["Content-Security-Policy"] = _csp(host)
        if method == "HEAD":
            answer.body = b""
        return answer

    async def _route(self, request: Request) -> Response:
        url = urlsplit(request.path)
        match unquote(url.path):
            case "/healthz":
                return text_response(200, "ok")
            case "/readyz":
                ready, details = self._readiness()
                return _json({"ready": ready, **details}, status=200 if ready else 503)
            case "/metrics" | "/avatar" | "/avatar/file" if not self._trusted(request):
                return text_response(
                    401,
                    "send the token as Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": "Bearer"},
                )
            case "/metrics":
                if (text := self._metrics.render()) is None:
                    return text_response(501, INSTALL_HINT)
                return response(200, text, _PROMETHEUS)
            case "/avatar":
                avatar = self._avatars.current
                return _json(avatar.info() if avatar else {})
            case "/avatar/file":
                return await self._avatar_file(request, parse_qs(url.query))
            case path:
                return await self._static(request, path)

    def _trusted(self, request: Request) -> bool:
        if self._token is None:
            return True
        return same_token(bearer(request.headers.get_all("Authorization")), self._token)

    async def _avatar_file(self, request: Request, query: Mapping[str, list[str]]) -> Response:
        avatar = self._avatars.current
        if avatar is None:
            return text_response(404, "there is no avatar; drop a .vrm on the page")
        asked = query.get("v", [""])[0]
        cache = _FOREVER if asked and avatar.sha256.startswith(asked) else _ASK
        return await self._file(request, avatar.path, avatar.sha256, cache)

    async def _static(self, request: Request, path: str) -> Response:
        file = self._local.get(path) or self._inside(path)
        if file is None:
            return text_response(404, "no such page")
        status = file.stat()
        key = (file, status.st_mtime_ns, status.st_size)
        if (etag := self._etags.get(key)) is None:
            body = await asyncio.to_thread(file.read_bytes)
            etag = self._etags[key] = hashlib.sha256(body).hexdigest()
        hashed = "assets" in file.parts and _HASHED.search(file.name)
        return await self._file(request, file, etag, _FOREVER if hashed else _ASK)

    def _inside(self, path: str) -> Path | None:
        """Return the overlay's file for a URL path; None for anything outside it."""
        relative = PurePosixPath(path.lstrip("/") or "index.html")
        # A colon is a drive or a stream on Windows, a backslash a separator.
        if any(part.startswith(".") or set(part) & set("\\:\0") for part in relative.parts):
            return None
        try:
            file = (self._web / relative).resolve()
            return file if file.is_file() and file.is_relative_to(self._web) else None
        except OSError:  # a name too long for the file system
            return None

    async def _file(self, request: Request, path: Path, digest: str, cache: str) -> Response:
        etag = f'"{digest[:32]}"'
        headers = {"ETag": etag, "Cache-Control": cache}
        if etag in ", ".join(request.headers.get_all("If-None-Match")):
            return response(304, b"", None, headers)
        try:
            body = await asyncio.to_thread(path.read_bytes)
        except OSError:  # replaced by another avatar in between
            return text_response(404, "no such file")
        kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
        return response(200, body, kind, headers)


def built_in_files() -> Mapping[str, Path]:
    """Return what the page without an engine loads, by URL path: model, demo, mannequin."""
    data = Path(__file__).resolve().parent.parent / "data"
    files = {
        "/demo/speech.flac": data / "demo" / "speech.flac",
        "/demo/words.json": data / "demo" / "words.json",
        "/mannequin.vrm": data / "avatars" / "mannequin.vrm",
    }
    if (model := built_in_models().get(DEFAULT_MODEL)) is not None:
        names = ("manifest.json", "model.onnx", "MODEL_CARD.md", "LICENSE")
        files |= {f"/model/{name}": model / name for name in names}
    return {path: file for path, file in files.items() if file.is_file()}


def response(
    status: int, body: bytes, kind: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a complete response with the headers that all of ours have."""
    fields = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Connection": "close",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
    )
    if kind is not None:
        fields["Content-Type"] = kind
        fields["Content-Length"] = str(len(body))
    for name, value in {"Cache-Control": "no-store", **(headers or {})}.items():
        fields[name] = value
    return Response(status, http.HTTPStatus(status).phrase, fields, body)


def text_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response of one line."""
    return response(status, f"{text}\n".encode(), "text/plain; charset=utf-8", headers)


def _json(value: Mapping[str, Any], *, status: int = 200) -> Response:
    return response(status, json.dumps(value).encode() + b"\n", "application/json")


def _csp(host: str) -> str:
    """Return the policy of our page: nothing from elsewhere, and no page frames it.

    WASM is for decoders, blob: for textures and workers of three.js; WebSockets
    are named because 'self' does not cover them in older browsers.
    """
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            f"connect-src 'self' blob: data: ws://{host} wss://{host}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )
