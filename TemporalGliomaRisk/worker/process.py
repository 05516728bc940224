"""The worker's process as a host sees it: started with its own tree, read without waiting, ended with all of its tree.

Standard library only, no thread: in Slicer a thread of Python's runs only while Python runs, so a host polls instead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

INTERPRETER_VARIABLE = "TEMPORAL_GLIOMA_RISK_PYTHON"
CHUNK_BYTES = 1 << 16
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def interpreter_to_use(given: str | os.PathLike[str] | None) -> str:
    """The Python that runs the worker: the given one, else TEMPORAL_GLIOMA_RISK_PYTHON's, else this one."""
    return os.fspath(given) if given else os.environ.get(INTERPRETER_VARIABLE) or sys.executable


def worker_environment(base: Mapping[str, str] | None, *, package_parent: Path = _PACKAGE_PARENT) -> dict[str, str]:
    """The environment for the worker: it finds this same package, and nothing in its working folder is imported.

    Args:
        base: The whole environment to begin with, None for this process's.
        package_parent: Folder that holds the package. Where that is a ``site-packages`` the worker's interpreter has
            its own, and another one's libraries on its path would break it; so nothing is added.
    """
    environment = dict(os.environ if base is None else base)
    environment["PYTHONSAFEPATH"] = "1"
    if package_parent.name not in ("site-packages", "dist-packages"):
        before = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
        environment["PYTHONPATH"] = os.pathsep.join([str(package_parent), *before])
    return environment


class WorkerProcess:
    """A running worker.

    Args:
        command: Interpreter and arguments.
        environment: All of it.

    Raises:
        OSError: If the interpreter is not there or may not be run.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with contextlib.ExitStack() as stack:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=dict(environment),
                cwd=_PACKAGE_PARENT,
                start_new_session=sys.platform != "win32",
                creationflags=_creation_flags(),
            )
            stack.callback(self.kill)
            for stream in (self._process.stdout, self._process.stderr):
                if sys.platform != "win32" and stream is not None:
                    os.set_blocking(stream.fileno(), False)
            stack.pop_all()

    @property
    def pid(self) -> int:
        """Of the process started; with a launcher in between, the launcher's."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""
        return self._process.poll()

    def write(self, line: bytes) -> bool:
        """Send a line; False where nobody reads any more."""
        stream = self._process.stdin
        if stream is None or stream.closed:
            return False
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[stream.write(rest) or 0 :]
        except OSError:
            return False
        return True

    def read_answers(self) -> bytes:
        """What has come on standard output since the last call, perhaps nothing."""
        return _read_available(self._process.stdout)

    def read_errors(self) -> bytes:
        """What has come on standard error since the last call, perhaps nothing."""
        return _read_available(self._process.stderr)

    def close_input(self) -> None:
        """End its standard input, at which a worker ends by itself."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within some seconds."""
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def kill(self) -> None:
        """End the process and all it started, at once."""
        if sys.platform == "win32":
            tree = ["taskkill", "/T", "/F", "/PID", str(self._process.pid)]
            # One that takes too long is no system error, and the process itself must end all the same.
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(tree, capture_output=True, check=False, timeout=10)
            with contextlib.suppress(OSError):
                self._process.kill()
        else:
            # The group outlives its leader: a launcher that is gone already may have left the worker behind.
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)

    def release(self) -> None:
        """Close the pipes of a process that has ended."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


def worker_command(interpreter: str) -> list[str]:
    """How the worker is started."""
    return [interpreter, "-m", "TemporalGliomaRisk", "worker", "--own-group"]


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def _read_available(stream: IO[bytes] | None) -> bytes:
    if stream is None or stream.closed:
        return b""
    pieces = []
    with contextlib.suppress(OSError, ValueError):
        while piece := _read_piece(stream):
            pieces.append(piece)
    return b"".join(pieces)


def _read_piece(stream: IO[bytes]) -> bytes:
    """Bytes that are there now; empty when there are none, or at the end."""
    if sys.platform == "win32":
        import _winapi  # noqa: PLC0415
        import msvcrt  # noqa: PLC0415

        available = _winapi.PeekNamedPipe(msvcrt.get_osfhandle(stream.fileno()), 0)[0]
        return os.read(stream.fileno(), min(available, CHUNK_BYTES)) if available else b""
    try:
        return os.read(stream.fileno(), CHUNK_BYTES)
    except BlockingIOError:
        return b""
