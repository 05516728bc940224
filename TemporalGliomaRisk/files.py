"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import InputError, OutputError, UsageError
from TemporalGliomaRisk.progress import check_cancelled

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LEFTOVER_SECONDS = 3600.0
LOCK_POLL_SECONDS = 0.1
LONGEST_NAME = 200
BEGUN = ".begun"
"""Lies in a folder of what is written together as long as nobody takes that folder away."""
LONGEST_PART = 255
"""Bytes of a file's or a folder's name on the usual file systems."""
_PART = re.compile(r"\.(?:[0-9a-f]{8}-[0-9]+-[0-9a-f]{6}|[0-9a-f]{12})\.part-")


def check_output(folder: Path, *, what: str = "output") -> None:
    """Refuse a folder that cannot be written to before minutes are spent, and without making it yet.

    It is tried with a folder that goes at once, where the output is or would be: the system says that root may write to
    its own folders (``/proc``), which take nothing.

    Args:
        folder: To be written to.
        what: What lies in it, which is also the name of the option that names it.

    Raises:
        UsageError: If a file is there or above it, or the system lets this user write nothing there.
    """
    if any(len(os.fsencode(part)) > LONGEST_PART for part in folder.parts):
        raise UsageError(f"The {what} folder's name is longer than a file's may be. Name another with --{what}.")
    place = folder.absolute()
    while not os.path.exists(place) and place != place.parent:  # noqa: PTH110  (says no where pathlib raises)
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"The {what} must be a folder, and what is there is a file. Name another with --{what}.")
    try:
        trial = place / _part_name("trial")
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise UsageError(f"The {what} folder cannot be written to by this user. Name another with --{what}.") from error


def refuse_other_contents(folder: Path, own: Collection[str], *, than: str, what: str = "output") -> None:
    """Refuse a folder that holds files but none of ours; hidden files do not count.

    Args:
        folder: To be written to; it need not be there.
        own: Names of which such a folder of ours holds one, at least.
        than: What it would hold, to follow "something else than".
        what: As in :func:`check_output`.

    Raises:
        UsageError: If it holds something else.
    """
    names = {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.is_dir() else set()
    if names and names.isdisjoint(own):
        raise UsageError(f"The {what} folder holds something else than {than}. Name a new one with --{what}.")


def read_json(path: Path, *, damaged: str) -> Any:
    """The content of a JSON file of ours.

    Args:
        path: The file.
        damaged: What to say where it cannot be read.

    Raises:
        InputError: If it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(damaged) from error


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it takes the final name in one step.

    The temporary file keeps the suffixes of ``path`` (writers choose formats by them) and is removed on any failure,
    a cancellation included, so nothing half-written stays under the final name. Content and name are on the disk when
    it returns.

    Raises:
        OutputError: If the system refuses any of it.
    """
    temporary = path.with_name(_part_name(path.name))
    with _said_in_words():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def written_together(folder: Path, last: str, *, stale: Sequence[str] = ()) -> Iterator[Path]:
    """Give a temporary folder inside ``folder`` to write to; on success all files in it take their places at the end.

    Until then an earlier run's files stay as they are, and where ours cannot take their places they come back; what
    the system doesn't let come back is kept in a hidden folder inside ``folder``. Its file ``last`` goes first and ours
    comes last of all, so that where it is, everything that belongs to it is there too.

    Args:
        folder: Where the files take their places.
        last: The file that comes last.
        stale: Files of an earlier run that would contradict ours; they go together with its file ``last``.

    Raises:
        OutputError: If the system refuses any of it.
    """
    staged = folder / _part_name("results")
    aside = staged / _part_name("earlier")
    in_place = False
    try:
        with _said_in_words():
            staged.mkdir(parents=True)
            (staged / BEGUN).touch()
        yield staged
        with _said_in_words():
            # Where the folder vanished on the way, later files made it anew, and the earlier ones would be missing.
            (staged / BEGUN).unlink()
            _put_in_place(staged, aside, folder, Path(last), stale)
        in_place = True
    finally:
        if in_place or not any(path.is_symlink() or path.is_file() for path in aside.rglob("*")):
            shutil.rmtree(staged, ignore_errors=True)


def _put_in_place(staged: Path, aside: Path, folder: Path, last: Path, stale: Sequence[str]) -> None:
    names = [path.relative_to(staged) for path in sorted(staged.rglob("*")) if path.is_file()]
    moved: list[Path] = []
    placed: list[Path] = []
    try:
        for name in dict.fromkeys((last, *map(Path, stale), *names)):
            if (folder / name).is_file() or (folder / name).is_symlink():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).replace(aside / name)
                moved.append(name)
        _sync_folder(folder)
        # All that belongs to the last one is on the disk before it takes its place; each folder is waited for once.
        for together in ([name for name in names if name != last], [name for name in names if name == last]):
            for name in together:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).replace(folder / name)
                placed.append(name)
            for changed in dict.fromkeys(parent for name in together for parent in name.parents):
                _sync_folder(folder / changed)
    except BaseException as error:
        if _all_put_back(aside, folder, placed, moved, last):
            raise
        # Leftovers of a process that is gone are removed; under a name of its own this folder is none of them.
        with contextlib.suppress(OSError):
            aside.replace(folder / f".earlier-{uuid.uuid4().hex[:6]}")
        if not isinstance(error, OSError):
            raise
        raise OutputError(
            f"A file could not be written ({_why(error)}), and not all earlier files could be put back; those are kept "
            "in a hidden folder there. Move them out, free space or name another folder, and run again."
        ) from error


def _all_put_back(aside: Path, folder: Path, placed: Sequence[Path], moved: Sequence[Path], last: Path) -> bool:
    """Whether all earlier files are back; each is tried for itself, so that one that can't come keeps no other away."""
    foreign = {name for name in placed if not _managed(partial((folder / name).unlink, missing_ok=True))}
    left = 0
    for name in reversed(moved):
        # The earlier run's own last file went first, so it comes back last, and only where all else is back.
        if (name == last and (left or foreign - {last})) or not _managed(
            partial((aside / name).replace, folder / name)
        ):
            left += 1
        else:
            foreign.discard(name)
    return left == 0


def _managed(step: Callable[[], object]) -> bool:
    try:
        step()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def alone_in(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """While inside, no other process that asks for the same is inside: two runs into one folder come one by one.

    The lock belongs to the process and goes with it, however it ends. Where a system or its file server has no such
    locks, there is none.

    Args:
        folder: Made if need be.
        waiting: Called again and again while another is inside; it may raise.
    """
    with _said_in_words():
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    if descriptor is None:
        yield
        return
    try:
        while not _locked(descriptor):
            waiting()
            time.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """A file's new name lies in its folder, which must reach the disk too; not every system can be asked for it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _said_in_words() -> Iterator[None]:
    """Turn what the system refuses into one sentence without a path."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"A file could not be written ({_why(error)}). Free space or name another folder, and run again."
        ) from error


def _why(error: OSError) -> str:
    return error.strerror or "the system gives no reason"


def _part_name(name: str) -> str:
    """A name for what is not finished, which tells who writes it; the end of a long one goes."""
    return f".{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.part-{name[-LONGEST_NAME:]}"


def remove_leftovers(folder: Path) -> None:
    """Remove what was left unfinished in a folder, and in the folders in it, when its process was killed.

    Those of a process of this machine that is gone go at once; of the others, which may be writing now, only those
    older than :data:`LEFTOVER_SECONDS`.
    """
    for path in [*folder.glob(".*.part-*"), *folder.glob("*/.*.part-*")]:
        with contextlib.suppress(OSError):
            if _PART.match(path.name) and (
                _writer_is_gone(path.name) or path.stat().st_mtime < time.time() - LEFTOVER_SECONDS
            ):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _writer_is_gone(name: str) -> bool:
    machine, process = (*name[1:].split("-", 2), "")[:2]
    # On Windows os.kill would end the process it is asked about.
    if machine != _machine() or not process.isdecimal() or os.name == "nt":
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _machine() -> str:
    """Eight letters for this machine's name, which may be a person's."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def write_text_whole(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json_whole(path: Path, content: Any) -> None:
    """Write JSON in two-space indents, whole or not at all. NaN and infinity are refused, never written."""
    write_text_whole(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


_remembered: ContextVar[dict[tuple[object, ...], str] | None] = ContextVar("_remembered", default=None)


@contextlib.contextmanager
def hashes_remembered() -> Iterator[None]:
    """While inside, on this thread, a file whose size and times stay the same is hashed once."""
    known = _remembered.get()
    token = _remembered.set({} if known is None else known)
    try:
        yield
    finally:
        _remembered.reset(token)


def sha256_of_json(content: Any) -> str:
    """Hexadecimal SHA-256 of JSON-ready content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    remembered = _remembered.get()
    with path.open("rb") as handle:
        state = os.fstat(handle.fileno())
        key = (str(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if remembered is not None and key in remembered:
            return remembered[key]
        digest = hashlib.sha256()
        while block := handle.read(1 << 20):
            check_cancelled()
            digest.update(block)
    if remembered is not None:
        remembered[key] = digest.hexdigest()
    return digest.hexdigest()
