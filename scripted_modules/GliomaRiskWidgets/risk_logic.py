"""What the module can do without its panel: read, run the worker, show. Used by the panel, by scripts and by tests."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import GliomaRiskError, InputError, OutputError
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.volumes import vtk_matrix, world_from_node
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import FloatArray
from TemporalGliomaRisk.worker.client import WorkerClient

from . import dependencies, dicom_database
from .staging import link_files
from .worker_session import Listeners, Message, WorkerSession, error_of, ignore

DEFAULT_MODEL = "evidence-simulated-5"
REGISTRATION = "GliomaRisk.registration"
"""Attribute of the transforms that registration makes, so that a second one renews them."""


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """A model that comes with the extension."""

    name: str
    folder: Path
    caveat: str
    card: Path
    licence: Path


@dataclass
class Prediction:
    """A risk being computed.

    Attributes:
        fraction: Done so far, 0 to 1.
        message: What is being done.
        patient: The patient in the scene, once it is done.
        output: Folder of the result, once it is done.
        error: What ended it otherwise.
    """

    session: WorkerSession = field(repr=False)
    request_id: str = ""
    fraction: float = 0.0
    message: str = ""
    patient: PatientScene | None = None
    output: Path | None = None
    error: GliomaRiskError | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.patient is not None or self.error is not None

    def cancel(self) -> None:
        """Stop it."""
        self.session.cancel()


def make_client() -> WorkerClient:
    """A worker in the Python that Slicer's settings name, else in Slicer's own."""
    interpreter, environment = dependencies.worker_python()
    return WorkerClient(interpreter=interpreter, environment=environment)


class RiskLogic:
    """Base of the module's logic: no Qt widget, no parameter node."""

    def __init__(self) -> None:
        super().__init__()
        self.session = WorkerSession(make_client)
        self._temporary: Path | None = None
        self._folders = 0
        self._outputs: dict[Any, Path] = {}
        self._linked: dict[str, tuple[tuple[str, ...], Path]] = {}

    # What ships

    @staticmethod
    def samples() -> dict[str, str]:
        """Names of the sample patients, and what to call them."""
        return {
            "sub-01": _("Simulated patient 1 (recurs)"),
            "sub-02": _("Simulated patient 2 (does not)"),
            "sub-03": _("Simulated patient 3 (recurs, grows larger)"),
        }

    @staticmethod
    def sample(name: str = "sub-01") -> Path:
        """Folder of a sample patient."""
        return resource_path(f"SampleData/{name}")

    @staticmethod
    def models() -> tuple[ShippedModel, ...]:
        """Models that come with the extension, the default one first."""
        found = []
        for folder in sorted(resource_path("Models").iterdir()):
            metadata = folder / "configs" / "metadata.json"
            if metadata.is_file():
                content = json.loads(metadata.read_text(encoding="utf-8"))
                found.append(
                    ShippedModel(
                        name=str(content.get("name", folder.name)),
                        folder=folder,
                        caveat=str(content.get("caveat", "")),
                        card=folder / "docs" / "README.md",
                        licence=folder / "LICENSE",
                    )
                )
        return tuple(sorted(found, key=lambda model: model.folder.name != DEFAULT_MODEL))

    # Temporary files

    def temporary_folder(self, what: str) -> Path:
        """A folder that is not there yet, inside one that goes when the module is closed.

        Raises:
            OutputError: If Slicer's folder for temporary files is not there or may not be written to.
        """
        if self._temporary is None:
            try:
                self._temporary = Path(tempfile.mkdtemp(prefix="GliomaRisk-", dir=slicer.app.temporaryPath))
            except OSError as error:
                raise OutputError(
                    _(
                        "Slicer's folder for temporary files cannot be written to ({reason}). Name another one in "
                        "Edit > Application Settings > Modules > Temporary directory."
                    ).format(reason=error.strerror)
                ) from error
        self._folders += 1
        return self._temporary / f"{self._folders:03d}-{what}"

    def linked_dicom(self, patient: str) -> Path:
        """A folder that holds the files of a patient of the DICOM database; another one once these have changed.

        Raises:
            InputError: If the database does not know the patient, or its files are not where it has them.
        """
        files = tuple(dicom_database.files_of(patient))
        if patient in self._linked and self._linked[patient][0] != files:
            shutil.rmtree(self._linked.pop(patient)[1], ignore_errors=True)
        if patient not in self._linked:
            self._linked[patient] = files, link_files(files, self.temporary_folder("dicom"))
        return self._linked[patient][1]

    def close(self) -> None:
        """End the worker and remove temporary files."""
        self.session.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary = None
        self._linked.clear()
        self.forget_outputs()

    # Reading and showing

    @staticmethod
    def read(path: Path | str, *, patient: str | None = None, identified: bool = False) -> Timeline:
        """Read a timeline; see :func:`~TemporalGliomaRisk.timeline.reading.read_timeline`."""
        return read_timeline(Path(path), patient=patient, identified=identified)

    @staticmethod
    def patients() -> list[PatientScene]:
        """Every patient in the scene."""
        return PatientScene.all_in(slicer.mrmlScene)

    @staticmethod
    def open_series(
        timeline: Timeline,
        result: RiskResult | None = None,
        *,
        replacing: PatientScene | None = None,
        moves: Mapping[str, Mapping[str, FloatArray]] | None = None,
    ) -> PatientScene:
        """Show a timeline, with its result where there is one.

        Args:
            timeline: Whose volumes are read now.
            result: What the worker wrote of it.
            replacing: A patient of the scene that this is a newer state of; what the reader set is kept.
            moves: Where a registration without a risk put the volumes, by session and sequence.
        """
        if replacing is not None:
            replacing.update(timeline, result, moves=moves)
            return replacing
        return PatientScene.build(slicer.mrmlScene, timeline, result, moves=moves)

    @staticmethod
    def place(volume: Any, to_first_ras: FloatArray, name: str) -> Any:
        """Put a volume of the scene where registration says, by a transform that is named and can be undone.

        Args:
            volume: vtkMRMLScalarVolumeNode.
            to_first_ras: (4, 4), from where it lies in the world now to the first visit's space.
            name: Of the transform node, where a new one is made.

        Returns:
            The transform node; None where the volume lies right already.
        """
        if volume is None:
            raise InputError(_("A volume of the series is no longer in the scene. Read the series again."))
        if np.allclose(to_first_ras, np.eye(4)):
            return None
        parent = volume.GetParentTransformNode()
        # The world's place contains the parent already: what is new comes after it.
        matrix = np.asarray(to_first_ras) @ world_from_node(volume)
        if parent is not None and parent.GetAttribute(REGISTRATION) is not None:
            parent.SetMatrixTransformToParent(vtk_matrix(matrix))
            return parent
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        node.SetAttribute(REGISTRATION, "1")
        node.SetMatrixTransformToParent(vtk_matrix(matrix))
        volume.SetAndObserveTransformNodeID(node.GetID())
        return node

    def keep_output(self, patient: PatientScene, folder: Path) -> None:
        """Remember where the result of a patient lies, for the report; an earlier one of the patient goes."""
        self.forget_gone_outputs()
        if self._outputs.get(patient.browser) != folder:
            self._forget_output(patient.browser)
        # The node, not its ID: a scene that was cleared gives the next patient the same IDs again.
        self._outputs[patient.browser] = folder

    def forget_gone_outputs(self) -> None:
        """Hold nothing of patients that left the scene, or of their state before they were renewed."""
        for browser in [browser for browser in self._outputs if browser.GetScene() is None]:
            self._forget_output(browser)

    def forget_outputs(self) -> None:
        """Forget where results lie, because their patients go with the scene."""
        for browser in tuple(self._outputs):
            self._forget_output(browser)

    def _forget_output(self, browser: Any) -> None:
        folder = self._outputs.pop(browser, None)
        # A folder that a script named is the script's own.
        if folder is not None and self._temporary is not None and folder.parent == self._temporary:
            shutil.rmtree(folder, ignore_errors=True)

    def output_of(self, patient: PatientScene) -> Path | None:
        """Folder of a patient's result, None where it was computed in another session."""
        browser = patient.browser
        return None if browser is None or browser.GetScene() is None else self._outputs.get(browser)

    # Computing

    def start(
        self,
        timeline: Path | str,
        *,
        output: Path | str | None = None,
        progressed: Callable[[Message], None] = ignore,
        finished: Callable[[Prediction], None] | None = None,
        **options: Any,
    ) -> Prediction:
        """Compute the risk of a timeline in the worker, and return at once.

        Args:
            timeline: A folder or table.
            output: Folder for the result; a temporary one by default.
            progressed: Told of every step.
            finished: Told when it has ended, well or not, once the patient is in the scene.
            options: Of :meth:`WorkerClient.predict`: model, device, register, mask, heatmaps, patient, identified.

        Returns:
            The prediction, whose state follows.
        """
        prediction = Prediction(session=self.session)
        folder = Path(output) if output is not None else self.temporary_folder("result")

        def on_progress(message: Message) -> None:
            prediction.fraction, prediction.message = float(message["fraction"]), str(message["message"])
            progressed(message)

        def on_result(message: Message) -> None:
            try:
                prediction.output = Path(str(message["output"]))
                result = RiskResult.read(prediction.output)
                # Labelled as the result is: one of numbers knows no visit of one labelled by the input's names.
                read = self.read(timeline, patient=options.get("patient"), identified=result.identified)
                patient = self.open_series(read, result)
                self.keep_output(patient, prediction.output)
                prediction.patient, prediction.fraction = patient, 1.0
            except GliomaRiskError as error:
                prediction.error = error
            if finished is not None:
                finished(prediction)

        def on_error(message: Message) -> None:
            prediction.error = error_of(message)
            if finished is not None:
                finished(prediction)

        listeners = Listeners(progress=on_progress, result=on_result, error=on_error)
        prediction.request_id = self.session.predict(Path(timeline), folder, listeners, **options)
        return prediction

    def run(self, timeline: Path | str, **options: Any) -> PatientScene:
        """Compute the risk of a timeline and wait for it; Slicer's window stays alive meanwhile.

        Args:
            timeline: A folder or table.
            options: As for :meth:`start`.

        Returns:
            The patient in the scene.

        Raises:
            GliomaRiskError: If it ended otherwise: bad input, a worker that cannot start, cancelled.
        """
        prediction = self.start(timeline, **options)
        self.session.wait(prediction.request_id, tick=slicer.app.processEvents)
        if prediction.error is not None:
            raise prediction.error
        if prediction.patient is None:
            raise GliomaRiskError(_("The worker was closed before it answered."))
        return prediction.patient
