"""Worker processes: spawned rather than forked, prepared by a function of the caller, and ended with this process.

Spawned, because the fork of a process whose libraries have threads may wait for them for ever. Ended, because the
standard pool's processes wait for work for ever once their parent was killed, each holding a gigabyte.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any


@contextlib.contextmanager
def processes(
    count: int, begin: Callable[..., object] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes.

    Args:
        count: How many.
        begin: Called once in each before it works.
        arguments: What ``begin`` is given.
    """
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawning, initializer=_begin, initargs=(begin, arguments)) as pool:
        yield pool


def _begin(begin: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_go_with_the_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _go_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # Nobody is left to hear of an exception; files appear whole or not at all.
