"""What the worker needs in Slicer's Python, asked for once, when it is needed; the one file that knows older Slicers.

Slicer 5.12 and newer install through ``slicer.packaging``, 5.10 through ``slicer.util``; PyTorch comes through the
PyTorch extension, which picks the build that suits the computer. An institution's own Python with all of it in it can
be named instead (setting ``GliomaRisk/WorkerPython`` or variable TEMPORAL_GLIOMA_RISK_PYTHON); then nothing is
installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import UsageError

TORCH = "torch>=2.8"
REQUIREMENTS = (
    "monai>=1.6,<2",
    "safetensors>=0.4,<1",
    "matplotlib>=3.8,<4",
    "pillow>=10,<14",
    "jinja2>=3.1,<4",
    "jsonschema>=4.20,<5",
    "tqdm>=4.66,<5",
)
"""Of the package's own list; numpy, scipy, SimpleITK and pydicom come with Slicer and are left as they are."""
DICOM_EXPORT = ("highdicom>=0.25,<1",)

SETTING = "GliomaRisk/WorkerPython"
VARIABLE = "TEMPORAL_GLIOMA_RISK_PYTHON"


def worker_python() -> tuple[str, dict[str, str] | None]:
    """The interpreter for the worker and its environment; None is this process's own environment."""
    named = str(slicer.util.settingsValue(SETTING, "") or os.environ.get(VARIABLE, ""))
    if named:
        return named, slicer.util.startupEnvironment()
    found = shutil.which("PythonSlicer")
    return found or str(Path(slicer.app.slicerHome) / "bin" / "PythonSlicer"), None


def is_own_python() -> bool:
    """Whether the worker runs in Slicer's own Python, whose packages this file looks after."""
    return worker_python()[1] is None


def missing(requirements: Sequence[str]) -> list[str]:
    """Those that are not installed, or in a version that does not do. Nothing is imported."""
    return [requirement for requirement in requirements if not _is_met(requirement)]


def _is_met(requirement: str) -> bool:
    # `packaging` comes with Slicer's pip; without it, being there is enough.
    name = requirement.split(">", maxsplit=1)[0]
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    try:
        from packaging.specifiers import SpecifierSet  # noqa: PLC0415  (not in every Slicer)
    except ImportError:
        return True
    return SpecifierSet(requirement[len(name) :]).contains(version.split("+")[0], prereleases=True)


def ensure_for_worker(
    ask: Callable[[str, str], bool], busy: Callable[[], AbstractContextManager[None]] = nullcontext
) -> bool:
    """Install what the worker lacks, after asking once. Call it on the main thread.

    Args:
        ask: Shows a question and its details; whether the reader agrees.
        busy: Shows that it takes long.

    Returns:
        Whether the worker has what it needs; False where the reader said no.

    Raises:
        UsageError: If something could not be installed: one sentence, with what to do.
    """
    if not is_own_python():
        return True
    absent = missing((TORCH, *REQUIREMENTS))
    if not absent:
        return True
    question = _(
        "The risk is computed by PyTorch in a process of its own. {count} Python packages have to be downloaded first "
        "(about 250 MB, with an NVIDIA card up to 3 GB). Install them into Slicer's Python now?"
    ).format(count=len(absent))
    if not ask(question, "\n".join(absent)):
        return False
    with busy():
        if TORCH in absent:
            _install_torch()
        _install([one for one in absent if one != TORCH])
    return True


def ensure_for_dicom_export(ask: Callable[[str, str], bool]) -> bool:
    """Install highdicom, after asking; as :func:`ensure_for_worker`, but into Slicer's Python in any case."""
    absent = missing(DICOM_EXPORT)
    if not absent:
        return True
    if not ask(_("DICOM export needs the Python package highdicom (about 20 MB). Install it now?"), "\n".join(absent)):
        return False
    _install(absent)
    return True


def offline_note() -> str:
    """What to do on a computer without a network."""
    return _(
        "Without a network: install the PyTorch extension and the packages {packages} from files "
        "(PythonSlicer -m pip install --no-index --find-links FOLDER ...), or name a Python that has them with the "
        "setting {setting} or the variable {variable}."
    ).format(packages=", ".join((TORCH, *REQUIREMENTS)), setting=SETTING, variable=VARIABLE)


def _install_torch() -> None:
    try:
        import PyTorchUtils  # noqa: PLC0415  (an extension that may not be installed)
    except ImportError:
        raise UsageError(
            _(
                "PyTorch is missing and so is Slicer's PyTorch extension. Install the extension PyTorch in the "
                "Extensions Manager and restart Slicer, or name a Python that has torch with the setting {setting}."
            ).format(setting=SETTING)
        ) from None
    slicer.util.showStatusMessage(_("Installing PyTorch; this takes minutes…"), 0)
    try:
        # Asked already, with the rest; the extension would ask again. It imports torch once when it has installed it.
        PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=">=2.8")
    except Exception as error:
        raise _failed([TORCH]) from error
    finally:
        slicer.util.showStatusMessage("", 1)
    if missing([TORCH]):
        raise _failed([TORCH])


def _install(requirements: list[str]) -> None:
    if not requirements:
        return
    try:
        _pip(requirements)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        raise _failed(requirements) from error
    if missing(requirements) and not slicer.app.testingEnabled():
        raise _failed(requirements)


def _pip(requirements: list[str]) -> None:
    try:
        from slicer.packaging import pip_ensure  # noqa: PLC0415  (since 5.12)
    except ImportError:
        slicer.util.pip_install(requirements)
    else:
        # Asked already; a restart is offered by it only where a package in use was replaced.
        pip_ensure(requirements, prompt_install=False, requester="Temporal Glioma Risk")


def _failed(requirements: Sequence[str]) -> UsageError:
    return UsageError(
        _(
            "{packages} could not be installed. Check the network or proxy and try again; the log has pip's own words. "
            "{offline}"
        ).format(packages=", ".join(requirements), offline=offline_note())
    )
