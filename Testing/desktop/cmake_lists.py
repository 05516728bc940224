"""What the extension's CMake files list, what of the tree they should, and how to renew them.

``python Testing/desktop/cmake_lists.py --write`` rewrites the lists; the tests beside it compare them with the tree.
"""

# ruff: noqa: T201  (run by hand, it says what it did)

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT_LIST = REPOSITORY / "CMakeLists.txt"
MODULE_LIST = REPOSITORY / "scripted_modules" / "CMakeLists.txt"
RESOURCE_FOLDERS = ("Resources/Models/", "Resources/SampleData/", "Resources/Templates/", "Resources/UI/")
ICONS = "Resources/Icons/"
"""Only PNG icons ship; their SVG sources stay in the repository."""


def tracked() -> list[str]:
    """Files of the repository, with those that git would add."""
    command = ["git", "-c", "core.quotePath=false", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({path for path in listed if (REPOSITORY / path).is_file()})


def wanted() -> dict[str, list[str]]:
    """What each list must hold, by its variable."""
    files = tracked()
    package = [path for path in files if path.startswith("TemporalGliomaRisk/")]
    resources = [path for path in files if path.startswith(RESOURCE_FOLDERS)]
    icons = [path for path in files if path.startswith(ICONS) and path.endswith(".png")]
    modules = [
        path.removeprefix("scripted_modules/")
        for path in files
        if path.startswith("scripted_modules/") and path.endswith(".py")
    ]
    return {
        "PACKAGE_SCRIPTS": [path for path in package if path.endswith(".py")],
        "PACKAGE_RESOURCES": sorted([path for path in package if not path.endswith(".py")] + resources + icons),
        "MODULE_PYTHON_SCRIPTS": modules,
    }


def listed(variable: str) -> list[str]:
    """What a CMake file lists under a variable, in its order."""
    found = _pattern(variable).search(file_of(variable).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{file_of(variable).name} sets no {variable}.")
    return found["files"].split()


def file_of(variable: str) -> Path:
    """The CMake file that sets a variable."""
    return MODULE_LIST if variable.startswith("MODULE") else ROOT_LIST


def _pattern(variable: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<head>set\({variable}\n)(?P<files>(?:  [^\s)]+\n)*)(?P<tail>  \))")


def write() -> None:
    """Rewrite every list that is not as it should be."""
    for variable, files in wanted().items():
        path = file_of(variable)
        text = path.read_text(encoding="utf-8")
        lines = "".join(f"  {name}\n" for name in files)
        renewed = _pattern(variable).sub(lambda match, new=lines: match["head"] + new + match["tail"], text)
        if renewed != text:
            path.write_text(renewed, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(REPOSITORY)}: {variable} renewed, {len(files)} files")


if __name__ == "__main__" and "--write" in sys.argv[1:]:
    write()
