"""Wait for requests in JSON lines on standard input, as Slicer and the browser viewer send them.

The messages are described in TemporalGliomaRisk/worker/schemas. The worker keeps model and features in memory, and ends
when its standard input does.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--own-group",
        action="store_true",
        help="the worker is the head of a process group that ends with it (set by the client)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve one host until it says bye or is gone."""
    from TemporalGliomaRisk.worker.server import WorkerServer

    WorkerServer(own_group=arguments.own_group).serve()
    return 0
