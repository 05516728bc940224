"""Cases of hostile input: every function ``case_...`` of a test file builds one and says what must come of it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from TemporalGliomaRisk.commands import main

MEMORY_BYTES = 1_000_000_000
"""What one case may take in address space beyond what the process has; the volumes here have 100,000 voxels."""
SECONDS = 10.0
"""Processor time of one case; one that waits for ever, on a pipe say, ends by pytest's own limit."""


def _workshop() -> ModuleType:
    """``hostile_workshop.py`` by its name, so that test files can import it."""
    name = "hostile_workshop"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


_workshop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``case`` is run for every builder of its file."""
    if "case" in metafunc.fixturenames:
        builders = {name: value for name, value in vars(metafunc.module).items() if name.startswith("case_")}
        metafunc.parametrize("case", builders.values(), ids=[name[5:] for name in builders])


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder: mode and size by path."""
    found = {}
    for place, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(place, name)  # noqa: PTH118  (names that are no text)
            status = os.lstat(path)
            found[os.fsdecode(path)] = (status.st_mode, status.st_size)
    return found


def _address_space() -> int:
    with Path("/proc/self/statm").open(encoding="ascii") as handle:
        return int(handle.read().split()[0]) * resource.getpagesize()


class Bounded:
    """While inside, this process may take only so much more address space."""

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY_BYTES, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_AS, self.before)


@pytest.fixture
def run_case(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[[Callable[[Any], Any]], None]:
    """Build a case, give it to ``check``, and hold the outcome against what the builder said."""
    shop = _workshop()

    def run(case: Callable[[Any], Any]) -> None:
        work = shop.Workshop(folder=tmp_path / f"in {shop.SECRET}")
        work.folder.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = case(work)
        caplog.clear()
        before = snapshot(tmp_path)
        capfd.readouterr()
        began = time.process_time()
        with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.WARNING), Bounded():
            warnings.simplefilter("always")
            status = main(["check", "--no-alignment", "--json", *expected.options, "--", str(expected.path)])
        seconds = time.process_time() - began
        said = capfd.readouterr()
        assert [str(one.message) for one in warned] == []
        assert caplog.records == []
        assert seconds < SECONDS
        assert snapshot(tmp_path) == before
        judge(expected, status, said.out, said.err, shop.SECRET)

    return run


def judge(expected: Any, status: int, out: str, err: str, secret: str) -> None:
    """Status, streams and numbers of one run against what was expected."""
    assert status == (2 if expected.outcome == "refused" else 0), out + err
    assert [word for word in (secret, "Traceback", "/tmp", str(expected.path)) if word in out + err] == []
    findings = [] if not out else json.loads(out)["findings"]
    if expected.outcome == "refused":
        assert err.count("\n") == 1
        assert err.startswith("temporal-glioma-risk: ")
        assert err.isprintable() or err[:-1].isprintable()
        assert len(err) < 2000
        assert expected.words in err
        return
    assert err == ""
    content = json.loads(out)
    assert tuple(visit["days_since_first"] for visit in content["visits"]) == expected.days
    assert all("FLAIR" in visit["sequences"] for visit in content["visits"])
    spoken = " ".join(item["message"] for item in findings if item["severity"] in ("warning", "note"))
    if expected.outcome == "warned":
        assert expected.words in spoken
    else:
        loud = [item["code"] for item in findings if item["severity"] == "warning" and item["code"] != "single_visit"]
        assert loud == []


@pytest.fixture
def bounded() -> Bounded:
    """The bound on memory, for tests that run commands by themselves."""
    return Bounded()
