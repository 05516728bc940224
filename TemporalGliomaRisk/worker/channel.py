"""The worker's side of the pipe: standard input and output are kept for messages, so that no library's print disturbs.

The file descriptor 1 is duplicated for messages and then points where 2 does, so that no library's print breaks the
stream; standard input likewise, so that nothing else reads a message away.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from TemporalGliomaRisk.worker.messages import (
    LONGEST_LINE_BYTES,
    REQUESTS,
    LineBuffer,
    Message,
    MessageError,
    decode,
    encode,
)


class Channel:
    """Messages in and out, from any thread.

    Args:
        read_from: File descriptor of the host's messages.
        write_to: File descriptor of ours.
        lost: Called once nobody reads our messages any more.
    """

    def __init__(self, read_from: int, write_to: int, lost: Callable[[], None]) -> None:
        self._read_from = read_from
        self._write_to = write_to
        self._lost = lost
        self._writing = threading.Lock()

    @classmethod
    def over_standard_streams(cls, lost: Callable[[], None]) -> Channel:
        """Take standard input and output for messages, and leave the process others in their place."""
        sys.stdout.flush()
        write_to, read_from = os.dup(1), os.dup(0)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        with contextlib.suppress(OSError):
            os.write(write_to, b"\n")  # what something wrote before, without an end, is no part of our first line
        return cls(read_from, write_to, lost)

    def say(self, kind: str, request_id: str | None, content: Mapping[str, Any] | None = None) -> None:
        """Send a message; it is dropped where the host is gone."""
        rest = encode(kind, request_id, content)
        with self._writing:
            try:
                while rest:
                    rest = rest[os.write(self._write_to, rest) :]
            except OSError:
                self._lost()

    def listen(self, heard: Callable[[Message], None], misheard: Callable[[MessageError], None]) -> None:
        """Read messages until the host's end is closed.

        Args:
            heard: Given every message.
            misheard: Given what is wrong with a line that is none.
        """
        lines = LineBuffer()
        dropped = 0
        while data := self._read():
            whole = lines.feed(data)
            for line in whole:
                try:
                    message = decode(line, REQUESTS)
                except MessageError as error:
                    misheard(error)
                else:
                    heard(message)
            if lines.dropped > dropped:
                dropped = lines.dropped
                misheard(MessageError(f"A line is longer than {LONGEST_LINE_BYTES} bytes and was left out."))

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self._read_from, 1 << 16)
        return b""
