"""Look at a result or a timeline in the browser: slices, 3D, risk over time, and a prediction at a click.

Serves on this computer alone, at an address with a secret in it. Research use only, trained on simulated data; never a
diagnosis.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from TemporalGliomaRisk.commands import add_patient

LAST_PORT = 65535


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"wanted a whole number of 0 to {LAST_PORT}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",
        metavar="RESULT|TIMELINE",
        help="folder that predict wrote to, or a timeline in any form (default: the page asks)",
    )
    parser.add_argument("--timeline", type=Path, metavar="PATH", help="the timeline that a result was made from")
    add_patient(parser)
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="port on 127.0.0.1 (default: one that is free)"
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    parser.add_argument("--visit", type=int, metavar="N", help="visit shown first (default: where the risk rises most)")


def run(arguments: argparse.Namespace) -> int:
    """Read what is named, serve it, open a browser."""
    from TemporalGliomaRisk.errors import UsageError

    if arguments.path is None and arguments.timeline is not None:
        raise UsageError("--timeline goes with a folder of results, and none is named. Name it before --timeline.")
    if arguments.path is None and arguments.patient is not None:
        raise UsageError("--patient goes with a timeline, and none is named. Name it before --patient.")
    if arguments.path is None and arguments.visit is not None:
        raise UsageError("--visit goes with a result or a timeline, and none is named. Name it before --visit.")
    try:
        import trame_slicer  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "The viewer's packages are not installed; run: pip install 'TemporalGliomaRisk[viewer]'."
        ) from None
    from TemporalGliomaRisk.viewer.app import ViewOptions, serve
    from TemporalGliomaRisk.viewer.opengl import prepare_drawing
    from TemporalGliomaRisk.viewer.opening import Opened, find

    opened = Opened()
    if arguments.path is not None:
        opened = find(arguments.path, arguments.timeline, patient=arguments.patient)
        if arguments.visit is not None:
            opened.refuse_without(arguments.visit)
    with_3d = prepare_drawing()
    if not with_3d:
        print("This computer cannot draw with OpenGL, so there is no 3D; slices are shown.", file=sys.stderr)
    options = ViewOptions(port=arguments.port, visit=arguments.visit, with_3d=with_3d)
    asyncio.run(serve(opened, options, lambda address, once: _announce(address, once, arguments.browser)))
    return 0


def _announce(address: str, once: str, browser: bool) -> None:
    """Print the address, and open it by way of one that works once: a command line is no place for a secret."""
    print(f"The viewer is at {address}\nKeep this address to yourself. Ctrl-C ends the viewer.", flush=True)
    if browser and _has_display():
        import webbrowser

        webbrowser.open(once)


def _has_display() -> bool:
    """Whether a browser opened from here would be seen."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
