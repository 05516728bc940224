"""Write requirements-dev.lock anew: one pinned version of everything, for Python 3.10 to 3.13 on every system.

Run by `make lock`, in .venv, which it gives `uv`. torch is pinned by hand, to a release of which every kind of machine
finds a build; the CUDA libraries its Linux build on PyPI asks for are left out, because pip adds them by itself exactly
where that build is installed, and a CPU build wants none.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-dev.lock"
TORCH = "2.13.0"
OLDEST_PYTHON = "3.10"
CUDA_LIBRARY = re.compile(r"(nvidia|cuda)-|triton==")
HEADER = """\
# Pinned versions for development, Python 3.10 to 3.13; written by `make lock`, not by hand.
# torch's CUDA libraries are left out on purpose: pip adds them where a CUDA build of torch is installed.
"""


def main() -> int:
    """Resolve pyproject.toml with what development needs and write the lock."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv>=0.5,<1"], check=True)
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal", "--extra", "dev"]
    command += ["--python-version", OLDEST_PYTHON, "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += ["--quiet", "--constraints", "-"]
    resolved = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        input=f"torch=={TORCH}\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    lines = [line for line in resolved.splitlines() if not CUDA_LIBRARY.match(line)]
    LOCK.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    print(f"{LOCK.name}: {len(lines)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
