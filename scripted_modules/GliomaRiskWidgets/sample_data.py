"""The sample patients in Slicer's Sample Data module: one click opens them; they come with the extension."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from .places import resource
from .risk_logic import RiskLogic

CATEGORY = "Temporal Glioma Risk"


def files_of(folder: Path) -> list[Path]:
    """The volumes of a BIDS patient, in order."""
    return sorted(folder.glob("ses-*/anat/*.nii.gz"))


def register_samples(open_sample: Callable[[str], None]) -> None:
    """Offer the sample patients.

    Args:
        open_sample: Opens one in the panel, by its name.
    """
    import SampleData  # noqa: PLC0415  (a module of Slicer, found only while it runs)

    icon = resource("Icons/GliomaRisk.png")

    def clicked(name: str) -> Callable[[object], None]:
        return lambda source: _open(name, open_sample)

    for name, label in RiskLogic.samples().items():
        files = files_of(RiskLogic.sample(name))
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=label,
            uris=[path.as_uri() for path in files],
            fileNames=[path.name for path in files],
            nodeNames=[path.name.removesuffix(".nii.gz") for path in files],
            thumbnailFileName=None if icon is None else str(icon),
            customDownloader=clicked(name),
        )


def _open(name: str, open_sample: Callable[[str], None]) -> None:
    import slicer  # noqa: PLC0415

    slicer.util.showStatusMessage(_("Opening a simulated patient…"), 2000)
    slicer.util.selectModule("GliomaRisk")
    open_sample(name)
