"""``python -m TemporalGliomaRisk COMMAND``."""

from __future__ import annotations

import sys

from TemporalGliomaRisk.commands import main

if __name__ == "__main__":
    sys.exit(main())
