"""Several processes that work for this one: begun anew, with a start of their own, and gone when it goes.

Begun anew and not copied: a copy of a process whose libraries have threads may wait for them for ever. Gone with it:
the standard pool's processes wait for work for ever once whoever made them was killed, each with its gigabyte.
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
    anew = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=anew, initializer=_begin, initargs=(begin, arguments)) as pool:
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
