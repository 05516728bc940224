"""What the dispatcher promises whatever the command: exit status, one line on standard error, lazy imports."""

from __future__ import annotations

import argparse
import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from TemporalGliomaRisk import __version__, commands, errors

COMMANDS_FOLDER = Path(commands.__file__).parent
Run = Callable[[argparse.Namespace], int]


@pytest.fixture
def with_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Register a command called ``stir`` with one argument, which does what the test says."""

    def register(run: Run) -> None:
        module = ModuleType("TemporalGliomaRisk.commands.stir")
        module.__doc__ = "Stir the pot.\n\nSlowly."
        module.add_arguments = lambda parser: parser.add_argument("pot")  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "TemporalGliomaRisk.commands.stir", module)
        monkeypatch.setattr(commands, "COMMANDS", {"stir": "Stir the pot.", "absent": "Never imported."})

    return register


def failing(error: BaseException) -> Run:
    """A command that ends with ``error``."""

    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "TemporalGliomaRisk", *arguments], capture_output=True, text=True, check=False
    )


def test_every_file_is_a_command_and_every_command_a_file() -> None:
    files = {path.stem for path in COMMANDS_FOLDER.glob("*.py") if not path.stem.startswith("_")}

    assert set(commands.COMMANDS) == files


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_the_help_of_a_command_is_its_docstring_s_first_line(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((COMMANDS_FOLDER / f"{name}.py").read_text(encoding="utf-8")))

    assert docstring is not None
    assert docstring.splitlines()[0] == commands.COMMANDS[name]


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_every_command_has_help_that_names_its_arguments(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main([name, "--help"]) == 0
    assert f"usage: temporal-glioma-risk {name}" in capsys.readouterr().out


def test_a_command_gets_its_arguments_and_gives_the_exit_status(with_command: Callable[[Run], None]) -> None:
    seen: list[str] = []

    def run(arguments: argparse.Namespace) -> int:
        seen.append(arguments.pot)
        return 7

    with_command(run)

    assert commands.main(["stir", "soup"]) == 7
    assert seen == ["soup"]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (errors.TimelineError("Visit 3 lies\nbefore visit 2."), 2, "Visit 3 lies before visit 2."),
        (errors.UsageError("No such device."), 2, "No such device."),
        (errors.Cancelled("stop"), 130, "cancelled."),
        (KeyboardInterrupt(), 130, "cancelled."),
        (errors.ShapeError("maps must be (visits, i, j, k)."), 1, "maps must be (visits, i, j, k)."),
    ],
)
def test_an_error_becomes_its_status_and_one_line(
    with_command: Callable[[Run], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    with_command(failing(error))

    assert commands.main(["stir", "soup"]) == status
    captured = capsys.readouterr()
    assert captured.err == f"temporal-glioma-risk: {line}\n"
    assert captured.out == ""


def test_an_unforeseen_error_is_named_without_its_text_which_may_hold_a_patient_s_path(
    with_command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with_command(failing(PermissionError(13, "Permission denied", "/scans/Jane_Doe.nii.gz")))

    assert commands.main(["stir", "soup"]) == 1
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert "unexpected PermissionError (Permission denied)" in captured
    assert "--debug" in captured
    assert "Jane" not in captured


def test_an_unforeseen_error_tells_where_in_the_package_it_began(
    with_command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    from TemporalGliomaRisk import config  # noqa: PLC0415

    with_command(lambda arguments: len(config.to_json(arguments)))

    assert commands.main(["stir", "soup"]) == 1
    assert "unexpected TypeError in config.py, line " in capsys.readouterr().err


def test_a_missing_package_is_named(with_command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]) -> None:
    with_command(failing(ModuleNotFoundError("No module named 'pydicom'", name="pydicom")))

    assert commands.main(["stir", "soup"]) == 1
    assert "package 'pydicom' is needed" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--debug", "stir", "soup"], ["stir", "soup", "--debug"]])
def test_debug_shows_the_traceback_before_or_after_the_command(
    with_command: Callable[[Run], None], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with_command(failing(ZeroDivisionError("by nought")))

    assert commands.main(arguments) == 1
    captured = capsys.readouterr().err
    assert "Traceback (most recent call last)" in captured
    assert "ZeroDivisionError: by nought" in captured


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["boil"], "invalid choice (choose from"),
        (["stir"], "required: pot"),
        (["stir", "soup", "--lid"], "unrecognized arguments: --lid"),
        (["--vers"], "COMMAND"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help_and_status_2(
    with_command: Callable[[Run], None], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with_command(lambda arguments: 0)

    assert commands.main(arguments) == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert captured.startswith("temporal-glioma-risk: ")
    assert words in captured
    assert "--help)" in captured


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["--version"]) == 0
    assert capsys.readouterr().out == f"temporal-glioma-risk {__version__}\n"


def test_sigterm_runs_the_cleaning_up_and_ends_with_130(with_command: Callable[[Run], None]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned: list[str] = []

    def run(arguments: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
            return 0
        finally:
            cleaned.append(arguments.pot)

    with_command(run)

    assert commands.main(["stir", "soup"]) == 130
    assert cleaned == ["soup"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_program_s_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys, TemporalGliomaRisk.commands as commands\n"
        "status = commands.main(['--help'])\n"
        "print(status, sorted(name for name in sys.modules if name.startswith('TemporalGliomaRisk.')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert all(name in out for name in commands.COMMANDS)
    assert out.splitlines()[-1] == "0 ['TemporalGliomaRisk.commands', 'TemporalGliomaRisk.errors']"


def test_the_module_runs_as_a_program() -> None:
    result = run_program("boil")

    assert result.returncode == 2
    assert result.stderr.startswith("temporal-glioma-risk: argument COMMAND: invalid choice (choose from ")
    # A command that was forgotten leaves a path in its place, which could hold a name.
    assert "boil" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell's 2>&- is Unix's")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&-"])
def test_a_command_runs_where_a_standard_stream_is_closed(closed: str, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, types, TemporalGliomaRisk.commands as commands\n"
        "def run(arguments):\n"
        "    commands.plain_progress()\n"
        "    with open('written', 'w') as handle:\n"
        "        print('said', file=sys.stderr)\n"
        "        return 0 if handle.fileno() > 2 and handle.write('whole') else 1\n"
        "stir = types.ModuleType('stir')\n"
        "stir.add_arguments, stir.run = lambda parser: None, run\n"
        "sys.modules['TemporalGliomaRisk.commands.check'] = stir\n"
        "sys.exit(commands.main(['check']))\n"
    )
    (tmp_path / "program.py").write_text(code, encoding="utf-8")
    command = f"{sys.executable} program.py {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "written").read_text(encoding="utf-8") == "whole"


def test_a_timeline_to_view_without_its_result_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert commands.main(["view", "--timeline", str(tmp_path)]) == 2
    assert "--timeline goes with a folder of results, and none is named" in capsys.readouterr().err


def test_a_patient_to_view_without_a_timeline_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["view", "--patient", "Mustermann"]) == 2
    said = capsys.readouterr().err
    assert "--patient goes with a timeline, and none is named" in said
    assert "Mustermann" not in said


def test_a_visit_to_view_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["view", "--visit", "2"]) == 2
    assert "--visit goes with a result or a timeline, and none is named" in capsys.readouterr().err


def test_a_reader_that_goes_away_gets_no_traceback() -> None:
    code = (
        "import sys, types, TemporalGliomaRisk.commands as commands\n"
        "stir = types.ModuleType('stir')\n"
        "stir.add_arguments = lambda parser: None\n"
        "stir.run = lambda arguments: [print('x' * 10000, flush=True) for _ in range(100)] and 0\n"
        "sys.modules['TemporalGliomaRisk.commands.check'] = stir\n"
        "sys.exit(commands.main(['check']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, words = process.communicate(timeout=60)

    assert process.returncode == 1
    assert words == b""
