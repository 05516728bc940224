"""Run the tests under other Pythons: ``make matrix``, or ``matrix.py 3.10 3.12`` for some of them.

Each gets an environment of its own, .venv-3.x, with the lock's versions. Where no CPU build of torch can be had for a
Python, what needs none is tested there, and that is said; the build with CUDA is never fetched. Scene and viewer bring
their own libraries and are tested by ``make test``.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-dev.lock"
VERSIONS = ("3.10", "3.12", "3.13")
"""``make test`` runs the one in between."""
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH = ("torch", "monai", "tensorboard")
PACKAGES = (
    "numpy", "scipy", "SimpleITK", "safetensors", "matplotlib", "pillow", "jinja2", "jsonschema", "tqdm", "pydicom",
    "highdicom",
    "nilearn", "pytest", "pytest-timeout", "hypothesis", "nibabel", "scikit-learn", "threadpoolctl", "tomli",
    "setuptools",
)  # fmt: skip
TESTS = ("Testing/unit", "Testing/hostile", "Testing/privacy", "Testing/faults", "Testing/fuzz")
WITHOUT_TORCH = (
    "Testing/unit/timeline", "Testing/unit/report", "Testing/unit/simulate", "Testing/unit/evaluate",
    "Testing/unit/commands/test_check.py", "Testing/hostile", "Testing/fuzz",
)  # fmt: skip
DESELECTED = ("--deselect", "Testing/privacy/test_markers.py::test_a_scene_holds_nothing_of_the_patient_or_the_day")
NEEDS_TORCH = (
    "--ignore=Testing/hostile/test_models.py",
    *(
        f"--deselect=Testing/{test}[{reader}]"
        for reader in ("model", "truth", "training", "checkpoint", "message")
        for test in (
            "fuzz/test_finds.py::test_seeds_are_taken_or_refused",
            "fuzz/test_finds.py::test_what_was_found_is_taken_or_refused",
            "hostile/test_mutations.py::test_changed_bytes_are_taken_or_refused_in_one_sentence",
            "hostile/test_mutations.py::test_json_of_other_values_is_taken_or_refused_in_one_sentence",
        )
    ),
)


def main():
    """Test the Pythons asked for; 1 if tests failed under one of them, or if one is nowhere to be found."""
    outcomes = {}
    for version in sys.argv[1:] or VERSIONS:
        python = find(version)
        if python is None:
            outcomes[version] = "not found, neither on the path nor in pyenv"
            continue
        interpreter = environment(version, python)
        with_torch = install(interpreter)
        tests = TESTS if with_torch else (*WITHOUT_TORCH, *NEEDS_TORCH)
        extent = "everything but scene and viewer" if with_torch else "no CPU build of torch here; what needs none"
        say(f"{version}: {extent}.")
        options = ("-q", "-p", "no:cacheprovider", *DESELECTED)
        status = run(interpreter, "-m", "pytest", *options, *tests, cwd=str(ROOT)).returncode
        what = "" if with_torch else " (what needs no torch)"
        outcomes[version] = ("passed" if status == 0 else f"failed with status {status}") + what
    for version, outcome in outcomes.items():
        say(f"Python {version}: {outcome}.")
    return int(any(not outcome.startswith("passed") for outcome in outcomes.values()))


def find(version):
    """An interpreter of a version that starts, by its name on the path or from pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(root.glob(f"{version}.*/bin/python"), reverse=True)]
    for candidate in filter(None, candidates):
        question = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = run(candidate, "-c", question, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if answer.returncode == 0 and answer.stdout.decode().strip() == version:
            return candidate
    return None


def environment(version, python):
    """The environment's interpreter, made where it isn't there."""
    folder = ROOT / f".venv-{version}"
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        say(f"making {folder.name}.")
        run(python, "-m", "venv", folder, check=True)
    return interpreter


def install(interpreter):
    """Install the lock's versions; whether torch is among them."""
    run(interpreter, "-m", "pip", "install", "-qq", "--upgrade", "pip", check=True)
    pip = (interpreter, "-m", "pip", "install", "-qq", "--only-binary", ":all:", "--constraint", LOCK)
    run(*pip, *PACKAGES, check=True)
    run(interpreter, "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation", "--editable", ROOT, check=True)
    if run(interpreter, "-c", "import torch, monai", stderr=subprocess.DEVNULL).returncode == 0:
        return True
    pin = next(line.split()[0] for line in LOCK.read_text(encoding="utf-8").splitlines() if line.startswith("torch=="))
    if offered_is_small(interpreter, pin):
        options = ()
    elif reachable(CPU_INDEX + "/torch/"):
        options = ("--no-deps", "--index-url", CPU_INDEX)
    else:
        return False
    run(*pip, *options, pin, check=True)
    run(*pip, *TORCH, check=True)
    return True


def offered_is_small(interpreter, pin):
    """Whether what pip would take anyhow is a CPU build: macOS, ARM, or an index that offers one."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return True
    question = ("install", "--dry-run", "-qq", "--no-deps", "--ignore-installed", "--report", "-", pin)
    answer = run(interpreter, "-m", "pip", *question, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return any("+cpu" in item["metadata"]["version"] for item in json.loads(answer.stdout.decode())["install"])
    except (ValueError, KeyError):
        return False


def reachable(address):
    """Whether an address answers."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def run(*command, **options):
    """Run a command; its status is the caller's to look at, unless ``check=True``."""
    options.setdefault("check", False)
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "CI")}
    own["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return subprocess.run([str(part) for part in command], env=own, **options)  # noqa: PLW1510  set just above


def say(sentence):
    """A line on standard error."""
    sys.stderr.write(f"matrix: {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
