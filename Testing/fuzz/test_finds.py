"""What fuzzing found once is taken or refused in one sentence now."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("fuzz_readers", Path(__file__).with_name("fuzz_readers.py"))
sys.modules["fuzz_readers"] = readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)


@pytest.mark.parametrize("name", readers.READERS)
def test_seeds_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    contents = list(readers.seeds(name))
    for content in contents:
        readers.replay(name, tmp_path, content)
    assert contents


@pytest.mark.parametrize("name", readers.READERS)
def test_what_was_found_is_taken_or_refused(name: str, tmp_path: Path) -> None:
    for path in sorted((readers.FINDS / name).glob("*")):
        readers.replay(name, tmp_path, path.read_bytes())
