"""A scene as one file that any Slicer opens, and the views it opens with."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.files import written_whole
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.shells import finish_shells


def write_mrb(scene: Any, path: Path) -> None:
    """Write a scene as .mrb, whole or not at all, without a path in it.

    Slicer names the folder inside the bundle after the file and keeps where it wrote last, so it writes to a neutral
    place first.

    Raises:
        InputError: If the name does not end in .mrb.
        GliomaRiskError: If Slicer cannot write it.
    """
    if path.suffix.lower() != ".mrb":
        raise InputError(f"A scene is saved as .mrb, got {path.suffix or 'no suffix'}.")
    for record in SceneRecord.all_in(scene):
        finish_shells(record)
    url, root = scene.GetURL(), scene.GetRootDirectory()
    with tempfile.TemporaryDirectory(prefix="temporal-glioma-risk-") as folder, written_whole(path) as temporary:
        check_cancelled()
        neutral = Path(folder) / "scene.mrb"
        try:
            scene.SetRootDirectory(folder)
            if not scene.WriteToMRB(str(neutral)) or not neutral.is_file():
                raise GliomaRiskError(
                    "Slicer could not write the scene. Check that the disk has room and that Slicer can save the "
                    "scene's other nodes."
                )
        finally:
            scene.SetURL(url or "")
            scene.SetRootDirectory(root or "")
        shutil.copyfile(neutral, temporary)
