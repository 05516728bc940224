"""The server of the viewer: trame's, on 127.0.0.1 alone, behind the gate, with no path but those named here."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from trame.app import get_server
from trame_client.module import vue3 as client_files
from trame_vuetify.module.v3 import roboto_path

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.failures import shown_sentence_of
from TemporalGliomaRisk.viewer.gate import ENTRANCE_PATH, ENTRANCE_REFUSED, HEADERS, Gate, page_policy

HOST = "127.0.0.1"
STATIC = Path(__file__).with_name("static")
STATIC_ROUTE = "viewer"
WEBSOCKET = "ws"
MOST_MESSAGE_BYTES = 1 << 20
"""The page sends clicks and settings over the websocket; files go by ``upload``."""
OF_BINDING = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM})
"""System errors by which a port is refused; on Windows, too, they are these once Python has translated them."""

_LOGGER = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded_server(gate: Gate, routes: list[web.RouteDef]) -> Any:
    """A trame server on which only the page, its parts, the websocket, ``routes`` and the entrance can be asked for.

    Args:
        gate: Decides on every request.
        routes: Further routes, paths below the token.

    Returns:
        The server, not started.
    """
    os.environ["TRAME_ARGS"] = ""  # trame reads the process's arguments otherwise, and they are ours
    server = get_server("temporal-glioma-risk", client_type="vue3", ws_max_msg_size=MOST_MESSAGE_BYTES)
    # The websocket's path is the token's; without `content` trame adds no static route of its own.
    server.cli.set_defaults(ws=f"{gate.token}/{WEBSOCKET}", no_http=True)
    server.enable_module({"serve": {STATIC_ROUTE: str(STATIC), "fonts": roboto_path}, "www": client_files.www})
    server.enable_module({"styles": ["fonts/roboto.css"], "scripts": [f"{STATIC_ROUTE}/viewer.js"]})

    def bind(wslink_server: Any) -> None:
        application: web.Application = wslink_server.app
        application.middlewares.append(_keeper(gate))
        application.on_response_prepare.append(_add_headers)
        application.add_routes(_page_routes(gate))
        application.add_routes(_file_routes(gate, server.serve))
        application.add_routes(
            [web.RouteDef(route.method, gate.prefix + route.path, route.handler, route.kwargs) for route in routes]
        )

    server.controller.on_server_bind.add(bind)
    return server


async def run(server: Any, port: int) -> None:
    """Serve until cancelled.

    Raises:
        UsageError: If the port is taken, or this user may not use it.
    """
    try:
        await server.start(
            exec_mode="coroutine",
            host=HOST,
            port=port,
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            timeout=0,
            thread=True,  # signals stay those of the command line
        )
    except OSError as error:
        if error.errno not in OF_BINDING:
            raise
        raise UsageError(
            f"Port {port} on {HOST} cannot be used ({error.strerror}). Name another with --port."
        ) from error


def _keeper(gate: Gate) -> Any:
    @web.middleware
    async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
        sentence = gate.refusal(
            method=request.method,
            path=request.path,
            host=request.headers.get("Host", ""),
            origin=request.headers.get("Origin"),
        )
        if sentence:
            return web.Response(status=403, text=sentence + "\n")
        if request.path == f"{gate.prefix}/{WEBSOCKET}" and request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=400, text="Only the page's own script asks for this.\n")
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:  # aiohttp would print it, and its text may hold a path
            _LOGGER.debug("A request failed.", exc_info=True)
            return web.Response(status=500, text=shown_sentence_of(error) + "\n")

    return keep


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if "Content-Security-Policy" not in response.headers:
        response.headers["Content-Security-Policy"] = page_policy(request.headers.get("Host", HOST))


def _page_routes(gate: Gate) -> list[web.RouteDef]:
    page = (STATIC / "index.html").read_text(encoding="utf-8").replace("<!-- client -->", _client_tags())

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def with_slash(_: web.Request) -> web.Response:
        raise web.HTTPFound(f"{gate.prefix}/")

    async def enter(request: web.Request) -> web.Response:
        if not gate.entrance.use(request.path):
            return web.Response(status=403, text=ENTRANCE_REFUSED + "\n")
        raise web.HTTPSeeOther(f"{gate.prefix}/")

    return [
        web.get(gate.prefix, with_slash),
        web.get(f"{gate.prefix}/", index),
        web.get(ENTRANCE_PATH + "{token:.*}", enter, allow_head=False),
    ]


def _client_tags() -> str:
    """The tags that load trame's own client, taken from its page, for their names change with its version."""
    original = (Path(client_files.www) / "index.html").read_text(encoding="utf-8")
    head = original.split("</head>")[0]
    return "\n".join(re.findall(r'<script[^>]*src="[^"]+"[^>]*></script>|<link rel="stylesheet"[^>]*>', head))


def _file_routes(gate: Gate, folders: dict[str, Any]) -> list[web.AbstractRouteDef]:
    """Static folders: the client's and those of the modules in use, never through a link that leads out of them."""
    client = Path(client_files.www)
    served = {"assets": client / "assets", **folders}
    routes: list[web.AbstractRouteDef] = [
        web.static(f"{gate.prefix}/{name}", str(place[0] if isinstance(place, (tuple, list)) else place))
        for name, place in served.items()
    ]

    async def vue(_: web.Request) -> web.FileResponse:
        return web.FileResponse(client / "vue.global.js")

    return [*routes, web.get(f"{gate.prefix}/vue.global.js", vue)]
