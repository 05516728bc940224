"""Who may ask the viewer for anything: a secret in the address, this computer's own name, and this page alone.

The server shows a patient's images, and every page of every site that the reader's browser has open can send requests
to it. So its address holds a token nobody can guess, and a request is refused whose ``Host`` is not this computer (a
foreign name made to point here, "DNS rebinding") or whose ``Origin`` is another page.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
READING_METHODS = ("GET", "HEAD")
UPLOAD_METHOD = "POST"


def new_token() -> str:
    """A token of 256 random bits. In lower case: the page's own script lowers the case of its addresses."""
    return secrets.token_hex(32)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The rules, without any server.

    Args:
        token: The first part of every path that is served.
    """

    token: str = field(default_factory=new_token, repr=False)

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
        if not self._has_token(path):
            return "The address is incomplete; open the one that was printed when the viewer started."
        if method not in READING_METHODS and not (method == UPLOAD_METHOD and self._below(path).startswith("upload/")):
            return "Nothing here can be changed in that way."
        return None

    def _has_token(self, path: str) -> bool:
        first = path.removeprefix("/").split("/", 1)[0]
        return hmac.compare_digest(first.encode(), self.token.encode())

    def _below(self, path: str) -> str:
        return path.removeprefix(self.prefix).removeprefix("/")


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
