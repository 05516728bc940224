"""What client and worker say to each other: JSON objects, one a line, each with ``protocol``, ``id`` and ``type``.

``schemas/request.schema.json`` and ``schemas/answer.schema.json`` are the full form. This file is the standard library
only: both sides use it, and one of them runs inside Slicer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

PROTOCOL = 1
LONGEST_LINE_BYTES = 1 << 20
"""A longer line is refused unread: nobody has a reason to send one."""

REQUESTS = ("predict", "register", "check", "cancel", "bye")
ANSWERS = ("hello", "ready", "progress", "result", "error", "bye")
LAST_ANSWERS = ("result", "error")
"""Every predict, register and check ends with exactly one of these."""
ErrorKind = Literal["input", "failure", "cancelled", "busy", "protocol", "crashed", "start"]

ID_FORM = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Message = dict[str, Any]


class MessageError(ValueError):
    """A line is no message of this protocol; the text says why, without repeating what it held.

    Args:
        reason: One sentence.
        request_id: Of the message, where that much could be read.
    """

    def __init__(self, reason: str, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.request_id = request_id


def encode(kind: str, request_id: str | None, content: Mapping[str, Any] | None = None) -> bytes:
    """A message as one line, ASCII only, so that no pipe's encoding can spoil it.

    Raises:
        ValueError: If the content holds NaN or infinity.
    """
    message = {"protocol": PROTOCOL, "id": request_id, "type": kind, **(content or {})}
    return json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes, kinds: tuple[str, ...]) -> Message:
    """A line as a message.

    Args:
        line: Without or with its line end.
        kinds: Types that may come from that side.

    Returns:
        It, with an id of None where it has none.

    Raises:
        MessageError: If the line is no JSON object, of another protocol, without a usable id, or of no known type.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise MessageError("The line is no JSON; wanted one object a line.") from None
    if not isinstance(content, dict):
        raise MessageError("The line is no JSON object; wanted one with protocol, id and type.")
    request_id = content.setdefault("id", None)
    if request_id is not None and not (isinstance(request_id, str) and ID_FORM.fullmatch(request_id)):
        raise MessageError("The id must be null or up to 64 letters, digits, dots, dashes or underscores.")
    if content.get("protocol") != PROTOCOL or isinstance(content.get("protocol"), bool):
        raise MessageError(
            f"This side speaks protocol {PROTOCOL} and the message another; install the same version on both sides.",
            request_id,
        )
    if content.get("type") not in kinds:
        raise MessageError(f"The type is none of {', '.join(kinds)}.", request_id)
    return content


class LineBuffer:
    """Bytes as they come, given back as whole lines; a line that grows too long is dropped to its end.

    Attributes:
        dropped: How many lines were too long so far.
    """

    def __init__(self, longest_bytes: int = LONGEST_LINE_BYTES) -> None:
        self._longest = longest_bytes
        self._rest = bytearray()
        self._dropping = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and give the lines that they complete, without their ends; empty lines are left out."""
        lines = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            lines += self._ended(data[start:end])
            start = end + 1
        self._grow(data[start:])
        return lines

    def _grow(self, piece: bytes) -> None:
        if self._dropping or not piece:
            return
        self._rest += piece
        if len(self._rest) > self._longest:
            self._rest.clear()
            self._dropping = True
            self.dropped += 1

    def _ended(self, piece: bytes) -> list[bytes]:
        self._grow(piece)
        line = bytes(self._rest).strip()
        self._rest.clear()
        was_dropping, self._dropping = self._dropping, False
        return [] if was_dropping or not line else [line]
