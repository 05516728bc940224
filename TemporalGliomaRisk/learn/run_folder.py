"""A training run on disk: what was asked for, what was prepared, and every stage's weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.encode.evidence import MOST_CHANNELS, EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import GliomaRiskError, InputError, UsageError
from TemporalGliomaRisk.files import check_output, refuse_other_contents, sha256_of
from TemporalGliomaRisk.learn.checkpoints import begin_with, load_checkpoint, read_settings
from TemporalGliomaRisk.learn.cohort import CohortPatient, cohort_sha256, split_patients
from TemporalGliomaRisk.learn.curves import Curves
from TemporalGliomaRisk.learn.prepared_store import prepare_cohort
from TemporalGliomaRisk.learn.pretrain import FINAL, PretrainConfig
from TemporalGliomaRisk.learn.ranks import ALONE, Ranks
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, load_patient
from TemporalGliomaRisk.preprocess.config import PreprocessConfig

SETTINGS, PREPARED, TAUGHT = "run.json", "prepared", "patients.json"
OTHERS_TAUGHT = (
    "This run was fine-tuned on other patients, or by other outcomes, than the cohort named now has; name that cohort, "
    "or begin a new run (pretrain --start-from this run --updates 0 keeps its encoder)."
)
LARGEST_RECEPTIVE_FIELD_MM = 40.0


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Which patients learn, which watch, which are kept for the end.

    Args:
        seed: Of the split.
        fractions: Shares of train, validation and test.
    """

    seed: int = 1
    fractions: tuple[float, ...] = (0.55, 0.15, 0.30)

    def __post_init__(self) -> None:
        if len(self.fractions) != 3 or min(self.fractions) < 0 or not math.isclose(sum(self.fractions), 1):
            raise UsageError(f"A split needs three shares that add up to 1, got {self.fractions}.")


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Weights that a run's pretraining began with, instead of random ones.

    Args:
        sha256: Hash of their file.
        updates: Updates that had made them, over all runs before.
    """

    sha256: str
    updates: int


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of a run that its later stages share.

    Args:
        model: Sizes of the network.
        preprocessing: How visits are prepared; ``never`` registers, since a cohort for training is registered.
        pretraining: Settings of the first stage.
        split: Of the patients.
        begun_from: What pretraining began with, None for random weights.
    """

    model: EvidenceConfig = field(default_factory=EvidenceConfig)
    preprocessing: PreprocessConfig = field(default_factory=lambda: PreprocessConfig(register="never"))
    pretraining: PretrainConfig = field(default_factory=PretrainConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    begun_from: Beginning | None = None

    def __post_init__(self) -> None:
        for channels in (self.model.feature_channels, self.model.comparison_channels, self.model.history_channels):
            if not 1 <= channels <= MOST_CHANNELS:
                raise UsageError(f"Wanted --channels of 1 to {MOST_CHANNELS}, got {channels}.")
        seen_mm = self.model.receptive_field_voxels * self.preprocessing.grid_mm
        if seen_mm > LARGEST_RECEPTIVE_FIELD_MM:
            raise UsageError(
                f"With {self.model.convolutions} convolutions a place would see {seen_mm:g} mm; a map that says where "
                f"the risk comes from allows {LARGEST_RECEPTIVE_FIELD_MM:g} mm at most, so give fewer --convolutions."
            )

    @property
    def updates_so_far(self) -> int:
        """Updates of pretraining, those of earlier runs that it went on from included."""
        return self.pretraining.updates + (0 if self.begun_from is None else self.begun_from.updates)


@dataclass(frozen=True, kw_only=True)
class Taught:
    """Patients of a stage, by hashes of their labels and outcomes.

    Args:
        train: Those learnt from.
        validation: Those stopped by.
        patients: Number of both.
    """

    train: str
    validation: str
    patients: tuple[int, ...]

    @classmethod
    def of(cls, parts: Mapping[str, Sequence[CohortPatient]]) -> Taught:
        """Of the parts of a split."""
        train, validation = parts["train"], parts["validation"]
        return cls(
            train=cohort_sha256(train), validation=cohort_sha256(validation), patients=(len(train), len(validation))
        )


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A run's folder and its settings."""

    folder: Path
    config: RunConfig

    @classmethod
    def begin(cls, folder: Path, config: RunConfig) -> RunFolder:
        """Start a run, or go on with one that was started with the same settings.

        Raises:
            InputError: If the folder holds a run of other settings or something else, or cannot be written to.
        """
        check_output(folder, what="run")
        refuse_other_contents(folder, (SETTINGS, PREPARED), than="a training run", what="run")
        begin_with(folder / SETTINGS, config, what="The run in this folder")
        return cls(folder=folder, config=config)

    @classmethod
    def open(cls, folder: Path) -> RunFolder:
        """A run that was begun before.

        Raises:
            InputError: If there is none, or its settings are damaged.
        """
        path = folder / SETTINGS
        if not path.is_file():
            raise InputError("The run folder holds no run.json; run pretrain with it first.")
        content = read_settings(path, what="The run in this folder")
        try:
            return cls(folder=folder, config=configs.from_json(RunConfig, content))
        except (TypeError, ValueError, AttributeError, KeyError, GliomaRiskError) as error:
            why = f" ({str(error).rstrip('.')})" if isinstance(error, GliomaRiskError) else ""
            raise InputError(
                f"The settings in the run's {SETTINGS} are not understood{why}; bring it back, or begin a new run."
            ) from error

    def split(self, patients: tuple[CohortPatient, ...]) -> dict[str, tuple[CohortPatient, ...]]:
        """Patients into train, validation and test.

        Raises:
            InputError: If nobody is left to learn from or to watch.
        """
        first, second, third = self.config.split.fractions
        parts = split_patients(patients, seed=self.config.split.seed, fractions=(first, second, third))
        for name in ("train", "validation"):
            if not parts[name]:
                raise InputError(
                    f"The split of {len(patients)} patients leaves none for {name}; bring more patients, or start a "
                    "new run with other shares (--fractions) or another --seed."
                )
        return parts

    def note_taught(self, folder: Path, parts: Mapping[str, Sequence[CohortPatient]]) -> None:
        """Write down who a stage's weights in a folder of the run learn from, or see that they are those of before.

        Raises:
            InputError: If they are others.
        """
        path = folder / TAUGHT
        # Of weights of before this was written down, nobody knows it.
        if path.exists() or not any(folder.glob("*.safetensors")):
            begin_with(path, Taught.of(parts), what="This stage of the run", other=OTHERS_TAUGHT)

    def refuse_others_taught(self, folder: Path, parts: Mapping[str, Sequence[CohortPatient]]) -> None:
        """Refuse patients other than those that a stage's weights learnt from, where that is known.

        Raises:
            InputError: If they are others.
        """
        if (folder / TAUGHT).exists():
            begin_with(folder / TAUGHT, Taught.of(parts), what="This stage of the run", other=OTHERS_TAUGHT)

    def prepared(
        self,
        patients: Sequence[CohortPatient],
        *,
        jobs: int,
        ranks: Ranks = ALONE,
        advance: Callable[[int], object] = lambda done: None,
    ) -> list[StoredPatient]:
        """Prepare what is not yet prepared, by the first rank, and give the patients with their voxels mapped.

        Raises:
            InputError: If a patient cannot be prepared.
        """
        folder = self.folder / PREPARED
        if ranks.first:
            prepare_cohort(patients, folder, self.config.preprocessing, jobs=jobs, advance=advance)
        ranks.wait()
        return [load_patient(folder, patient.patient_id) for patient in patients]

    @property
    def pretraining_folder(self) -> Path:
        """Weights and log of the first stage."""
        return self.folder / "pretrain"

    @property
    def pretrained_file(self) -> Path:
        """Weights at the end of the first stage."""
        return self.pretraining_folder / FINAL

    def beginning(self) -> tuple[Beginning, PairModel]:
        """This run's pretrained weights as what another run begins with.

        Raises:
            InputError: If pretraining has not ended.
        """
        model = self.pretrained()
        return Beginning(sha256=sha256_of(self.pretrained_file), updates=self.config.updates_so_far), model

    @property
    def features_folder(self) -> Path:
        """Cached features of the frozen encoder."""
        return self.folder / "features"

    @property
    def heads_folder(self) -> Path:
        """Fine-tuned heads: ``member-1`` ... and ``single``."""
        return self.folder / "heads"

    @property
    def beginning_of_heads(self) -> Path:
        """What is known of the model whose heads this run's begin with, where they do."""
        return self.heads_folder / "begun_from.json"

    @property
    def order_file(self) -> Path:
        """The ordering head taught on whole visits."""
        return self.folder / "order" / "head.safetensors"

    @property
    def reference_folder(self) -> Path:
        """The reference model, for comparison only: never part of a bundle."""
        return self.folder / "reference"

    def pretrained(self) -> PairModel:
        """The pretrained pair model.

        Raises:
            InputError: If pretraining has not ended.
        """
        path = self.pretrained_file
        if not path.exists():
            raise InputError("The run holds no pretrained encoder; run pretrain to its end first.")
        model = PairModel(self.config.model)
        load_checkpoint(path, model)
        return model.eval()

    @cached_property
    def curves(self) -> Curves:
        """The same numbers for TensorBoard."""
        return Curves(self.folder / "tensorboard")

    def log(self, stage: str, numbers: Mapping[str, float], *, head: str | None = None, **step: int) -> None:
        """Append a line to ``log.jsonl``, and go on with the curves of the stage or of its head.

        Args:
            stage: Its name.
            numbers: By name.
            head: Which head of the stage, where it has several.
            step: How far it has come, in one unit: ``update=250`` or ``epoch=3``.
        """
        ((unit, done),) = step.items()
        place = {"stage": stage, **({} if head is None else {"head": head}), unit: done}
        line = json.dumps({"time": round(time.time(), 1), **place, **numbers})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")
        self.curves.add(stage if head is None else head, done, numbers)
