"""What the checks found: one sentence each, with how bad it is and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Severity(str, Enum):
    """``REFUSAL``: no risk is computed. ``WARNING``: computed, and shown with the number. ``NOTE``: worth knowing."""

    REFUSAL = "refusal"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the checks noticed.

    Args:
        severity: How bad it is.
        code: Stable snake_case name of the rule, for programs and tests.
        message: One sentence: what was wanted, what came, where, what to do. No identifiers, no paths.
        visit: Number of the visit, from 1, or None for the whole timeline.
        sequence: Pulse sequence concerned, or None.
    """

    severity: Severity
    code: str
    message: str
    visit: int | None = None
    sequence: str | None = None

    @classmethod
    def warning(cls, code: str, message: str, *, visit: int | None = None, sequence: str | None = None) -> Finding:
        """One that stands beside the number."""
        return cls(severity=Severity.WARNING, code=code, message=message, visit=visit, sequence=sequence)

    @classmethod
    def note(cls, code: str, message: str, *, visit: int | None = None, sequence: str | None = None) -> Finding:
        """One that is worth knowing."""
        return cls(severity=Severity.NOTE, code=code, message=message, visit=visit, sequence=sequence)

    def to_json(self) -> dict[str, Any]:
        """As audit.json and the worker's messages hold it."""
        return {**asdict(self), "severity": self.severity.value}
