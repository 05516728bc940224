"""The groups that a model is looked at in, the same for every model and cohort.

All but those of :data:`EXPLORATORY` were named before the model that ships was judged. Of a real cohort only what
``participants.tsv`` says and the sequences are known; a simulator's truth tells more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.subgroups import Grouping

EXTENTS = ("gross total", "near total", "subtotal", "biopsy")
AGE_EDGES_YEARS = (5.0, 10.0, 15.0)
RESIDUAL_EDGE_MM = 20.0
SLICE_EDGES_MM = (2.0, 4.0)
SNR_EDGES = (20.0, 35.0)
NO_GROWTH = "no growth"
EFFECT = "treatment_effect_diameter_mm"
"""Of a visit in the simulator's truth."""
EFFECTS = ("none so far", "at this or an earlier visit")
TREATMENT_EFFECT = "treatment effect that looks like progression"
MODEL_SAYS = "what the model says of its risk"
EXPLORATORY = (TREATMENT_EFFECT, MODEL_SAYS)
"""Named, or defined anew, after figures of that model had been seen."""
DOUBT = ("nothing unusual", "uncertain: unlike training, or members at odds")


@dataclass(frozen=True, kw_only=True)
class KnownPatient:
    """What is known of a patient beside the images.

    Args:
        participant: The patient's line of ``participants.tsv``.
        truth: The simulator's record, None for a real patient.
    """

    participant: Mapping[str, str]
    truth: Mapping[str, Any] | None

    def drawn(self, name: str) -> Any:
        """One of the truth's parameters, None where there is none."""
        return None if self.truth is None else self.truth["parameters"].get(name)


Label = Callable[[KnownPatient], str | None]


def known_groupings(
    patients: Sequence[KnownPatient],
    patient_of_row: Sequence[int],
    visit_of_row: Sequence[int],
    sequences: Sequence[tuple[str, ...]],
    doubted: Sequence[bool] = (),
) -> list[Grouping]:
    """Every way to tell the rows apart that finds at least two groups among them.

    Args:
        patients: All patients.
        patient_of_row: (rows,), index into ``patients``.
        visit_of_row: (rows,), number of the row's visit, from 1.
        sequences: (rows,), the pulse sequences at the row's visit.
        doubted: (rows,), whether the model itself calls the risk uncertain; none where it doesn't say. First visits,
            whose risks always are, are left out.
    """
    velocities = [patient.drawn("growth_velocity_mm_per_year") for patient in patients]
    known = [velocity for velocity in velocities if velocity is not None]
    third, two_thirds = (float(edge) for edge in np.quantile(known, [1 / 3, 2 / 3])) if known else (0.0, 0.0)
    speeds = (
        f"up to {third:.1f} mm a year",
        f"{third:.1f} to {two_thirds:.1f} mm a year",
        f"above {two_thirds:.1f} mm a year",
    )

    def speed(patient: KnownPatient) -> str | None:
        velocity = patient.drawn("growth_velocity_mm_per_year")
        if velocity is None:
            return _no_growth(patient)
        return speeds[int(velocity > third) + int(velocity > two_thirds)]

    by_patient: list[tuple[str, Label, tuple[str, ...], str | None]] = [
        ("extent of resection", _said("extent_of_resection"), EXTENTS, None),
        ("tumour left at the first visit", _residual, _RESIDUALS, None),
        ("grade", _grade, ("low grade", "high grade"), None),
        ("age at the first visit", _age, _AGES, None),
        ("sex", _said("sex"), (), None),
        ("region", _said("region"), (), None),
        ("population", _population, (), None),
        ("anatomy", lambda patient: _words(patient.drawn("anatomy")), (), None),
        ("speed of the growth to come", speed, speeds, NO_GROWTH),
        ("law of the growth to come", _future("growth_law"), (), NO_GROWTH),
        ("origin of the growth to come", _future("growth_origin"), (), NO_GROWTH),
    ]
    found = []
    for title, label, order, beside in by_patient:
        labels = [label(patient) for patient in patients]
        found.append(_grouping(title, [labels[number] for number in patient_of_row], order, beside))
    places = [(patients[number], visit) for number, visit in zip(patient_of_row, visit_of_row, strict=True)]
    effects = [_treatment_effect(patient, visit) for patient, visit in places]
    found.append(_grouping(TREATMENT_EFFECT, effects, EFFECTS, None))
    found.append(_grouping("sequences at the visit", [" + ".join(names) or None for names in sequences], (), None))
    files = [_files(patient, visit) for patient, visit in places]
    for title, of_files, order in (
        ("thickest slices at the visit", _slices, _SLICES),
        ("lowest signal over noise at the visit", _noise, _NOISES),
        ("passing artefact at the visit", _artefact, _ARTEFACTS),
    ):
        found.append(_grouping(title, [of_files(one) if one else None for one in files], order, None))
    if doubted:
        said = [DOUBT[doubt] if visit > 1 else None for doubt, visit in zip(doubted, visit_of_row, strict=True)]
        found.append(_grouping(MODEL_SAYS, said, DOUBT, None))
    return [one for one in found if len(one.names) > 1]


def _grouping(title: str, labels: Sequence[str | None], order: tuple[str, ...], beside: str | None) -> Grouping:
    """Groups in the order given, others after them by their names; only those that have rows."""
    present = {label for label in labels if label is not None and label != beside}
    names = [name for name in order if name in present]
    names += sorted(present - set(names), key=lambda name: (name.count(" + "), name))
    compared_with = beside if beside is not None and beside in labels else None
    # Without anyone to compare with, groups by the future say nothing.
    return Grouping(
        title=title,
        labels=tuple(labels),
        names=tuple(names) if beside is None or compared_with else (),
        compared_with=compared_with,
        exploratory=title in EXPLORATORY,
    )


def _words(value: Any) -> str | None:
    text = "" if value is None else str(value).strip().replace("_", " ")
    return None if text.lower() in ("", "n/a", "na", "unknown") else text[:40]


def _said(column: str) -> Label:
    return lambda patient: _words(patient.participant.get(column))


def _no_growth(patient: KnownPatient) -> str | None:
    return None if patient.truth is None or patient.truth.get("fate") != "stable" else NO_GROWTH


def _future(name: str) -> Label:
    return lambda patient: _words(patient.drawn(name)) or _no_growth(patient)


_RESIDUALS = ("none seen", f"under {RESIDUAL_EDGE_MM:.0f} mm", f"{RESIDUAL_EDGE_MM:.0f} mm or more")


def _residual(patient: KnownPatient) -> str | None:
    if patient.truth is None:
        return None
    diameter = patient.truth["visits"][0]["lesion_diameter_mm"]
    return _RESIDUALS[0 if diameter == 0 else 1 if diameter < RESIDUAL_EDGE_MM else 2]


def _grade(patient: KnownPatient) -> str | None:
    high = patient.drawn("high_grade")
    return None if high is None else "high grade" if high else "low grade"


_AGES = (
    f"under {AGE_EDGES_YEARS[0]:.0f} years",
    *(f"{low:.0f} to {high:.0f} years" for low, high in itertools.pairwise(AGE_EDGES_YEARS)),
    f"{AGE_EDGES_YEARS[-1]:.0f} years or more",
)


def _age(patient: KnownPatient) -> str | None:
    said = patient.participant.get("age_years") or patient.participant.get("age") or ""
    try:
        age = float(said)
    except ValueError:
        return None
    return _AGES[int(np.searchsorted(AGE_EDGES_YEARS, age, side="right"))] if np.isfinite(age) else None


def _treatment_effect(patient: KnownPatient, visit: int) -> str | None:
    """Whether there has been one by the visit: one to come is nothing that a group known at the visit can know."""
    visits = [] if patient.truth is None else patient.truth["visits"][:visit]
    if not visits or not all(EFFECT in one for one in visits):
        return None
    return EFFECTS[int(any(one[EFFECT] > 0 for one in visits))]


def _population(patient: KnownPatient) -> str | None:
    return None if patient.truth is None else patient.truth["config"].get("population", "main")


Files = Sequence[Mapping[str, Any]]


def _files(patient: KnownPatient, visit: int) -> Files:
    """How a simulated visit's files were made; none for a real patient, or where no simulator wrote it down."""
    if patient.truth is None:
        return ()
    return tuple(patient.truth["visits"][visit - 1].get("files", {}).values())


def _between(value: float, edges: tuple[float, float], names: tuple[str, ...]) -> str:
    return names[int(np.searchsorted(edges, value, side="right"))]


_SLICES = (
    f"under {SLICE_EDGES_MM[0]:.0f} mm",
    f"{SLICE_EDGES_MM[0]:.0f} to {SLICE_EDGES_MM[1]:.0f} mm",
    f"{SLICE_EDGES_MM[1]:.0f} mm or more",
)


def _slices(files: Files) -> str:
    return _between(max(one["slice_thickness_mm"] for one in files), SLICE_EDGES_MM, _SLICES)


_NOISES = (f"under {SNR_EDGES[0]:.0f}", f"{SNR_EDGES[0]:.0f} to {SNR_EDGES[1]:.0f}", f"{SNR_EDGES[1]:.0f} or more")


def _noise(files: Files) -> str:
    return _between(min(one["snr"] for one in files), SNR_EDGES, _NOISES)


_ARTEFACTS = ("none", "susceptibility hole", "another kind")


def _artefact(files: Files) -> str:
    kinds = {kind for one in files for kind in one["artefacts"]}
    return _ARTEFACTS[0 if not kinds else 1 if "susceptibility" in kinds else 2]
