"""Make .venv ready: an environment in this tree with every pinned package and this package itself.

With the argument ``slicer512`` it makes .venv-slicer512 instead: the libraries of the stable desktop Slicer and what
the scene's tests need beside them, without the network's.

Run by the Makefile with whatever Python there is; needs only the standard library. Does nothing, in a few
milliseconds, while requirements-dev.lock, pyproject.toml and this file are as they were when it last succeeded.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECOND = sys.argv[1:] == ["slicer512"]
ENVIRONMENT = ROOT / (".venv-slicer512" if SECOND else ".venv")
INTERPRETER = ENVIRONMENT / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"
STAMP = ENVIRONMENT / "set-up.json"
DESKTOP_SLICER = "slicer-core==5.12.4.0"
BESIDE_DESKTOP_SLICER = ("numpy", "scipy", "SimpleITK", "pytest", "pytest-timeout")
"""Versions of these are the lock's."""
OLDEST, NEWEST = (3, 10), (3, 13)
SUPPORTED = "3.10 to 3.13"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_INDEX_TIMEOUT_S = 5
QUIETLY = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
CUDA_BUILD_SIZE = "about 3 GB with its CUDA libraries"


def main():
    """Bring the environment up to date; the exit status."""
    wanted = _wanted()
    if INTERPRETER.exists() and STAMP.exists() and json.loads(STAMP.read_text(encoding="utf-8")) == wanted:
        return 0
    os.environ.pop("PYTHONPATH", None)
    os.environ.pop("PYTHONHOME", None)
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if STAMP.exists():
        STAMP.unlink()
    if not _usable_environment():
        _make_environment(_find_python())
    _say(f"installing pinned packages into {ENVIRONMENT.name}; the first time takes minutes.")
    _pip("install", "-qq", "--upgrade", "pip")
    if SECOND:
        _install_desktop_slicer()
    else:
        _install_torch(_pinned_torch())
        _pip("install", "-qq", "--requirement", LOCK)
        _pip("install", "-qq", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    _say(f"{ENVIRONMENT.name} is ready.")
    return 0


def _install_desktop_slicer():
    """Install the stable desktop's libraries in the place of those that the browser host needs."""
    pins = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("slicer-core==")]
    constraints = ENVIRONMENT / "constraints.txt"
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    _pip("install", "-qq", "--constraint", constraints, DESKTOP_SLICER, *BESIDE_DESKTOP_SLICER)


def _wanted():
    """What the environment depends on; an environment is not movable, so its place belongs to it."""
    digest = hashlib.sha256()
    for path in (LOCK, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    return {"sha256": digest.hexdigest(), "place": str(ENVIRONMENT)}


# Which Python


def _find_python():
    """A Python of the supported versions: the one that runs this, or another on the path that really starts."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in (11, 12, 13, 10):
        python = shutil.which(f"python3.{minor}")
        if python and _version_of(python) == (3, minor):
            return python
    found = ".".join(str(part) for part in sys.version_info[:2])
    raise SystemExit(
        f"set-up: Python {SUPPORTED} is needed, found only {found}; install one, or run make PYTHON=/path/to/it."
    )


def _version_of(python):
    """The version that an interpreter reports, or None if it doesn't start (a shim without its version, say)."""
    try:
        answer = _run(python, "-c", "import sys; print(*sys.version_info[:2])", **QUIETLY)
        major, minor = answer.stdout.decode().split()
        return int(major), int(minor)
    except (OSError, ValueError):
        return None


# The environment


def _usable_environment():
    """Whether the environment is there, of a supported version, made at this place, and with a pip that runs."""
    version = _version_of(INTERPRETER) if INTERPRETER.exists() else None
    if version is None or not OLDEST <= version <= NEWEST or _run(INTERPRETER, "-m", "pip", "-V", **QUIETLY).returncode:
        return False
    activate = ENVIRONMENT / "bin" / "activate"
    return activate.exists() and str(ENVIRONMENT) in activate.read_text(encoding="utf-8")


def _make_environment(python):
    """Make the environment with the standard library's venv, or with virtualenv where that part is missing."""
    shutil.rmtree(str(ENVIRONMENT), ignore_errors=True)
    _say("making {} with Python {}.{}.".format(ENVIRONMENT.name, *_version_of(python)))
    has_venv = _run(python, "-c", "import ensurepip, venv", **QUIETLY).returncode == 0
    if has_venv and _run(python, "-m", "venv", ENVIRONMENT).returncode == 0:
        return
    _say("this Python has no working venv module (on Debian, package python3-venv): taking virtualenv from PyPI.")
    shutil.rmtree(str(ENVIRONMENT), ignore_errors=True)
    tool = ROOT / ".venv-virtualenv"
    own = dict(os.environ, PYTHONPATH=str(tool), PIP_REQUIRE_VIRTUALENV="0", PIP_USER="0")
    try:
        fetched = _run(python, "-m", "pip", "install", "-qq", "--target", tool, "virtualenv", env=own).returncode == 0
        made = fetched and _run(python, "-m", "virtualenv", "-qq", ENVIRONMENT, env=own).returncode == 0
    finally:
        shutil.rmtree(str(tool), ignore_errors=True)
    if not made:
        raise SystemExit(
            "set-up: no virtual environment can be made; install Python's venv module (on Debian, python3-venv)."
        )


def _run(*command, **options):
    """Run a command; its status is the caller's to look at, unless ``check=True``."""
    options.setdefault("check", False)
    return subprocess.run([str(part) for part in command], **options)  # noqa: PLW1510  set just above


def _pip(*arguments):
    _run(INTERPRETER, "-m", "pip", *arguments, check=True)


# torch, by far the largest download


def _pinned_torch():
    pins = [line.split()[0] for line in LOCK.read_text(encoding="utf-8").splitlines() if line.startswith("torch==")]
    if len(pins) != 1:
        raise SystemExit(f"{LOCK.name} must pin torch once, found {len(pins)} lines.")
    return pins[0]


def _install_torch(pin):
    """Install torch before the rest, saying what is fetched, as a CPU build where that is enough and to be had."""
    shown = _run(INTERPRETER, "-m", "pip", "show", "torch", **QUIETLY).stdout.decode()
    if ("Version: " + pin.split("==")[1]) in shown:
        return
    options = []
    if _offered_is_small(pin):
        _say(f"fetching the CPU build of {pin}, about 200 MB.")
    elif _has_nvidia_driver():
        _say(f"an NVIDIA driver is here: fetching PyPI's CUDA build of {pin}, {CUDA_BUILD_SIZE}.")
    elif _reachable(CPU_INDEX + "/torch/"):
        _say(f"no NVIDIA driver is here: fetching the CPU build of {pin} from PyTorch's index, about 200 MB.")
        options = ["--no-deps", "--index-url", CPU_INDEX]
    else:
        _say(f"PyTorch's index of CPU builds can't be reached: fetching PyPI's build of {pin}, {CUDA_BUILD_SIZE}.")
    # What torch needs besides comes with the lock; only a CUDA build brings libraries that the lock leaves out.
    _pip("install", "-qq", "--constraint", LOCK, *options, pin)


def _offered_is_small(pin):
    """Whether what pip would take anyhow is a CPU build: macOS, ARM, or an index that offers one."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return True
    question = ("install", "--dry-run", "-qq", "--no-deps", "--ignore-installed", "--report", "-", pin)
    try:
        report = json.loads(_run(INTERPRETER, "-m", "pip", *question, **QUIETLY).stdout.decode())
        return any("+cpu" in item["metadata"]["version"] for item in report["install"])
    except (ValueError, KeyError):
        return False


def _has_nvidia_driver():
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _reachable(address):
    try:
        with urllib.request.urlopen(address, timeout=CPU_INDEX_TIMEOUT_S) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def _say(sentence):
    sys.stderr.write(f"set-up: {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failure:
        sys.exit(f"set-up: `{' '.join(failure.cmd)}` failed with status {failure.returncode}; its own words are above.")
