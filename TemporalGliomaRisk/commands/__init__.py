"""The command line, a file a command.

Each file offers ``add_arguments(parser)`` and ``run(arguments) -> int``; the first line of its docstring is its help.
A file is imported only when its command is asked for, so ``--help`` and ``--version`` cost no heavy import.

Exit status: 0 done, 2 bad input or usage, 1 our own failure, 130 cancelled (by Ctrl-C or by SIGTERM).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

import TemporalGliomaRisk
from TemporalGliomaRisk.errors import Cancelled, InputError, UsageError

if TYPE_CHECKING:
    from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener
    from TemporalGliomaRisk.timeline.finding import Finding

PROGRAM = "temporal-glioma-risk"
DEBUG = "; run again with --debug for the traceback"

ABOUT = (
    "Risk that a child's treated glioma recurs within a year, at every visit of a series of MRI, and where it comes "
    f"from. {TemporalGliomaRisk.RESEARCH_USE_ONLY}"
)

MOST = 2**31 - 1
"""Largest whole number of an option, unless it says otherwise: a seed, a count of updates."""
MOST_JOBS = 1024

DONE, FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130

COMMANDS: Mapping[str, str] = {
    "check": "Look at a timeline without running a model: what was scanned, when, and what is wrong with it.",
    "predict": "Risk and a heatmap for every visit of one patient's timeline.",
    "worker": "Wait for requests in JSON lines on standard input, as Slicer and the browser viewer send them.",
    "view": "Look at a result or a timeline in the browser: slices, 3D, risk over time, and a prediction at a click.",
    "simulate": "Make a cohort of simulated patients, timelines in BIDS with the truth beside.",
    "pretrain": "Teach the encoder, without risk labels, what changes between visits and in which order.",
    "finetune": "Train the risk heads on whole timelines, or the reference model that they are measured against.",
    "calibrate": "Fit the calibration constants of a trained model on validation patients, and write the model bundle.",
    "evaluate": "Score a model on a cohort kept apart.",
}
"""Command -> its help, in the order of ``--help``. A test compares this with the files and their docstrings."""


class Command(Protocol):
    """What a command's file offers."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work and give the exit status."""


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose usage errors are one line, as every other error of ours is."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line that names the help to read; a path in it could hold a name."""
        unknown, words = "unrecognized arguments:", message.split()
        if message.startswith(unknown):
            options = [word.partition("=")[0] for word in words[2:] if word.startswith("-")]
            message = f"{unknown} {' '.join(options) or f'{len(words) - 2} more than wanted'}"
        message = re.sub(r"(invalid \w+(?: value)?): '.*?'(?=$| \()", r"\1", message)
        self.exit(BAD_INPUT, f"{PROGRAM}: {_one_line(message)} (see {self.prog} --help)\n")


def add_cohorts(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cohort`` of the commands that learn, from one cohort or several together."""
    parser.add_argument(
        "--cohort",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="BIDS cohorts, each with participants.tsv; give every command of a run the same ones",
    )


def add_device(parser: argparse.ArgumentParser, only: str = "") -> None:
    """Declare ``--device`` of the commands that train and measure.

    Args:
        parser: Of the command.
        only: What it is limited to, for the help.
    """
    limit = f", {only}" if only else ""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help=f"where the network runs{limit} (default %(default)s: the GPU if there is one)",
    )


def add_patient(parser: argparse.ArgumentParser) -> None:
    """Declare ``--patient`` of the commands that read one patient's timeline."""
    parser.add_argument(
        "--patient",
        metavar="LABEL",
        help="which patient, where the input holds several: a BIDS label such as sub-01, what a table's column patient "
        "says, or a name or ID in DICOM",
    )


def add_jobs(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare ``--jobs`` of the commands that share work among processes.

    Args:
        parser: Of the command.
        what: What the processes do, to follow the word in the help.
    """
    parser.add_argument("--jobs", type=whole(1, MOST_JOBS), default=1, help=f"processes{what} (default %(default)s)")


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """The type of an option that is a whole number within bounds, refused before anything is read.

    Args:
        least: Smallest number.
        most: Largest number; the usual one still fits every library's integers.
    """

    def number(text: str) -> int:
        is_long = len(text) > len(str(most))
        if not text.isdecimal() or (not is_long and int(text) < least):
            raise argparse.ArgumentTypeError(f"wanted a whole number of at least {least}, got {text}")
        if is_long or int(text) > most:
            raise argparse.ArgumentTypeError(f"wanted a whole number of at most {most}, got {text}")
        return int(text)

    return number


def refuse_in_cohort(place: Path, cohorts: Iterable[Path], option: str) -> None:
    """Refuse a folder to write to that is a cohort, or lies in one, beside its patients.

    Args:
        place: To be written to.
        cohorts: Folders that are read.
        option: What names the place, ``--output``.

    Raises:
        UsageError: If it is one of them or inside.
    """
    resolved = place.resolve()
    if any(resolved.is_relative_to(cohort.resolve()) for cohort in cohorts):
        raise UsageError(f"The folder to write to is the cohort or lies in it. Name another with {option}.")


def folder(text: str) -> Path:
    """An option's folder; an empty text, as from a shell variable that is not set, is refused."""
    return _path(text, "a folder")


def a_timeline(text: str) -> Path:
    """A timeline's path; nothing at all would be the current folder, whoever lies there."""
    return _path(text, "a folder or table")


def _path(text: str, wanted: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"wanted {wanted}, got nothing")
    return Path(text)


def tell(findings: Iterable[Finding]) -> None:
    """Say on standard error, a line each, what was noticed before the work began."""
    for finding in findings:
        print(finding.message, file=sys.stderr, flush=True)


def plain_progress() -> ProgressListener:
    """A listener that prints plain lines on standard error, where that is a terminal and somebody waits."""
    from TemporalGliomaRisk.progress import ignore_progress

    def plainly(event: ProgressEvent) -> None:
        print(f"{100 * event.fraction:3.0f} %  {event.message}", file=sys.stderr, flush=True)

    return plainly if sys.stderr.isatty() else ignore_progress


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        The exit status: 0, 1, 2 or 130.
    """
    arguments_given = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be text in the terminal's encoding; better an odd letter than no result.
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = "--debug" in arguments_given
    try:
        with _terminate_as_interrupt():
            return _run_command(arguments_given)
    except SystemExit as exit_request:
        return _status_of(exit_request)
    except (KeyboardInterrupt, Cancelled) as error:
        return _fail("cancelled.", CANCELLED, error, debug)
    except InputError as error:
        return _fail(str(error), BAD_INPUT, error, debug)
    except BrokenPipeError:
        # The reader of our output (`... | head`) went away; Python would complain once more while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001  the last place where a failure can become one sentence
        from TemporalGliomaRisk.failures import sentence_of

        return _fail(sentence_of(error, advice=DEBUG), FAILED, error, debug)


def _open_closed_streams() -> None:
    """Where a standard stream was closed (``2>&-``), let it lead nowhere, and no other file take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  as long as the process


def _run_command(arguments_given: list[str]) -> int:
    chosen = next((word for word in arguments_given if not word.startswith("-")), None)
    command = _load(chosen) if chosen in COMMANDS else None
    arguments = _parser(chosen, command).parse_args(arguments_given)
    if command is None:  # pragma: no cover  argparse has refused every other word already
        raise InputError(f"no such command: {chosen}")
    return command.run(arguments)


def _load(name: str | None) -> Command:
    module: ModuleType = importlib.import_module(f"TemporalGliomaRisk.commands.{name}")
    return cast(Command, module)


def _parser(chosen: str | None, command: Command | None) -> OneLineParser:
    """The parser of the whole program; only the chosen command's arguments are declared."""
    parser = OneLineParser(prog=PROGRAM, description=ABOUT, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {TemporalGliomaRisk.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")
    for name, help_line in COMMANDS.items():
        if name != chosen or command is None:
            commands.add_parser(name, help=help_line)
            continue
        subparser = commands.add_parser(
            name,
            help=help_line,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(subparser)
        subparser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of a failure"
        )
    return parser


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """While inside, SIGTERM raises KeyboardInterrupt, so that every ``finally`` runs and half-written files go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _status_of(exit_request: SystemExit) -> int:
    if exit_request.code is None:
        return DONE
    if isinstance(exit_request.code, int):
        return exit_request.code
    sys.stderr.write(f"{PROGRAM}: {_one_line(str(exit_request.code))}\n")
    return FAILED


def _fail(sentence: str, status: int, error: BaseException, debug: bool) -> int:
    if debug:
        traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.write(f"{PROGRAM}: {_one_line(sentence)}\n")
    return status


def _one_line(text: str) -> str:
    """Text on one line, without what could move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
