"""Who may ask the viewer for anything: a secret in the address, this computer's own name, and this page alone.

The server shows a patient's images, and every page of every site that the reader's browser has open can send requests
to it. So its address holds a token nobody can guess, and a request is refused whose ``Host`` is not this computer (a
foreign name made to point here, "DNS rebinding") or whose ``Origin`` is another page.

A browser that is started for the reader gets its address on a command line, which every account of this computer may
read. So that one is an entrance: it leads to the secret address once, and is worth nothing afterwards.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
READING_METHODS = ("GET", "HEAD")
UPLOAD_METHOD = "POST"
ENTRANCE_METHOD = "GET"
"""A HEAD would be answered with the secret address, too, and is what looks at links sends, not a reader."""
ENTRANCE_PATH = "/enter/"
ENTRANCE_SECONDS = 60.0
"""A browser that is not running yet may take most of it on a busy computer."""
ENTRANCE_REFUSED = (
    "This address opens the viewer only once and soon after its start; open the one that was printed when it started."
)


def new_token() -> str:
    """A token of 256 random bits. In lower case: the page's own script lowers the case of its addresses."""
    return secrets.token_hex(32)


class Entrance:
    """One way in at a time, which the first who comes by it uses up.

    Args:
        clock: Gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._token: str | None = None
        self._made_at = 0.0

    def new_path(self) -> str:
        """A path that leads in once within :data:`ENTRANCE_SECONDS` from now; an earlier one doesn't any more."""
        self._token, self._made_at = new_token(), self._clock()
        return f"{ENTRANCE_PATH}{self._token}"

    def use(self, path: str) -> bool:
        """Use a way in up.

        Args:
            path: Path of the request, decoded, without the query.

        Returns:
            Whether it led in. A wrong path uses nothing up.
        """
        if self._token is None or not _is_secret(path.removeprefix(ENTRANCE_PATH), self._token):
            return False
        self._token = None
        return self._clock() - self._made_at <= ENTRANCE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The rules, without any server.

    Args:
        token: The first part of every path that is served.
        entrance: The one way in without it.
    """

    token: str = field(default_factory=new_token, repr=False)
    entrance: Entrance = field(default_factory=Entrance, repr=False)

    @property
    def prefix(self) -> str:
        """What every path begins with."""
        return f"/{self.token}"

    def refusal(self, *, method: str, path: str, host: str, origin: str | None) -> str | None:
        """Why a request is refused, or None when it may pass.

        Args:
            method: HTTP method; the opening of a websocket is a GET.
            path: Path of the request, decoded, without the query.
            host: The ``Host`` header.
            origin: The ``Origin`` header, None where the browser sends none.

        Returns:
            A sentence without the token, or None.
        """
        if host_name(host) not in LOCAL_NAMES:
            return "This server answers only to the name of this computer, 127.0.0.1."
        if origin is not None and origin != f"http://{host}":
            return "Another page asked; only the viewer's own page may."
        if path.startswith(ENTRANCE_PATH):
            return None if method == ENTRANCE_METHOD else ENTRANCE_REFUSED  # its token is looked at when it is used up
        if not self._has_token(path):
            return "The address is incomplete; open the one that was printed when the viewer started."
        if method not in READING_METHODS and not (method == UPLOAD_METHOD and self._below(path).startswith("upload/")):
            return "Nothing here can be changed in that way."
        return None

    def _has_token(self, path: str) -> bool:
        return _is_secret(path.removeprefix("/").split("/", 1)[0], self.token)

    def _below(self, path: str) -> str:
        return path.removeprefix(self.prefix).removeprefix("/")


def _is_secret(given: str, secret: str) -> bool:
    """Whether they are the same, in a time that doesn't tell how much of them is."""
    return hmac.compare_digest(given.encode(), secret.encode())


def host_name(host: str) -> str:
    """The name in a ``Host`` header, lower case, without the port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def page_policy(host: str) -> str:
    """Content-Security-Policy of the page: nothing comes from or goes to anywhere but this server.

    ``unsafe-eval``: Vue compiles the page's templates in the browser. ``unsafe-inline`` for styles: sizes and colours
    of marks are set on the marks.
    """
    rules = {
        "default-src": "'none'",
        "script-src": "'self' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' blob: data:",
        "font-src": "'self'",
        "connect-src": f"'self' ws://{host}",
        "worker-src": "'self' blob:",
        "base-uri": "'self'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'none'; "
    "form-action 'none'; base-uri 'none'; sandbox allow-same-origin"
)
"""Content-Security-Policy of a report: a page of text and pictures that runs nothing."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer. The address is a secret, so no ``Referer`` tells it, and images of a patient stay in no cache."""
