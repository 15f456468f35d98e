"""Everything that `streamer` raises on purpose.

GestureError
├── UsageError        wrong option, wrong device name, port in use      exit code 2
├── InputError        audio, avatar or word input that cannot be used    exit code 2
├── ArtifactError     a model folder that is broken or does not fit      exit code 2
├── ConfigError       an unknown or ill-typed key in a TOML file         exit code 2
├── ProtocolError     a client or a datagram that breaks the protocol    closes that client
├── BackendError      the step could not run; another back end takes over
└── SessionClosed     a session was used after `aclose()`

A message names the thing, what was got, what was expected, and the remedy.
"""


class GestureError(Exception):
    """Base of the tree; its text is one line fit to show a user."""


class UsageError(GestureError):
    """The command or call asks for something that does not exist or clashes."""


class InputError(GestureError):
    """Input data that cannot be used: no audio, empty, wrong format."""


class ArtifactError(GestureError):
    """A model artifact that is missing, corrupt or of another format."""


class ConfigError(GestureError):
    """A configuration file with unknown keys or wrong types."""


class ProtocolError(GestureError):
    """A message that breaks the wire protocol; `code` is the WebSocket close code."""

    def __init__(self, message: str, *, code: int = 4400) -> None:
        super().__init__(message)
        self.code = code


class BackendError(GestureError):
    """A back end failed in a step; its state may be lost."""


class SessionClosed(GestureError):
    """The session has ended."""
