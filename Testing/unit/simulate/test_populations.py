"""The populations wide and shifted: blind first visits, what each holds, and version 1 as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.simulate import patient as patients
from TemporalGliomaRisk.simulate import truth as truths
from TemporalGliomaRisk.simulate.cohort import simulate_cohort
from TemporalGliomaRisk.simulate.config import POPULATIONS, SIMULATOR_VERSIONS, PopulationName, SimulationConfig
from TemporalGliomaRisk.simulate.growth import Clock, LogisticClock
from TemporalGliomaRisk.simulate.lesion import draw_quiet_residual
from TemporalGliomaRisk.simulate.population import MAIN, POPULATION, SHIFTED, WIDE
from TemporalGliomaRisk.simulate.randomness import stream

SEED = 11
NEW: tuple[PopulationName, ...] = ("wide", "shifted")
MAIN_PATIENTS = 250
"""Of main, whose first visits are held against their fates."""

VERSION_1_PATIENT = (20261, 59)
VERSION_1_BLOCKS = Path(__file__).with_name("version_1_blocks.npz")
"""Means of blocks of voxels of that patient's first visit, by map."""
BLOCK_VOXELS = 16


def config(population: PopulationName, recurrent_fraction: float = 0.45) -> SimulationConfig:
    return SimulationConfig(population=population, recurrent_fraction=recurrent_fraction)


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[truths.PatientTruth]]:
    """Three recurrent patients of each new population."""
    return {name: [patients.draw_truth(config(name, 1.0), SEED, number) for number in range(1, 4)] for name in NEW}


def blocks_of(voxels: np.ndarray) -> np.ndarray:
    """Means of blocks of a map."""
    shape = [BLOCK_VOXELS * (length // BLOCK_VOXELS) for length in voxels.shape]
    cut = voxels[tuple(slice(length) for length in shape)].astype(np.float64)
    parts = [part for length in shape for part in (length // BLOCK_VOXELS, BLOCK_VOXELS)]
    return cut.reshape(parts).mean(axis=(1, 3, 5))


def test_version_1_gives_the_volumes_it_always_gave() -> None:
    truth = patients.draw_truth(SimulationConfig(), *VERSION_1_PATIENT)
    visit = patients.render_visit(truth, 0)
    maps = {name: volume.voxels for name, volume in visit.volumes.items()} | {"lesion": visit.lesion}
    with np.load(VERSION_1_BLOCKS) as known:
        assert set(known) == set(maps)
        for name, voxels in maps.items():
            assert len(np.unique(known[name])) > 4
            # Not byte by byte: processors of other kinds round the last bits of exponentials otherwise, and with them a
            # voxel in a million by one unit, of 4,096 in a block.
            np.testing.assert_allclose(blocks_of(voxels), known[name], rtol=0, atol=0.005, err_msg=name)


def test_version_1_is_recorded_as_it_always_was() -> None:
    assert SimulationConfig().record() == {
        "recurrent_fraction": 0.45,
        "median_event_days": 600.0,
        "extent_hazard_ratios": False,
        "sequences": ["FLAIR", "T2w", "T1w", "ce-gd_T1w"],
    }
    assert SimulationConfig().simulator_version == 1


def test_every_population_has_a_version_of_its_own() -> None:
    assert set(SIMULATOR_VERSIONS) == set(POPULATIONS) == set(POPULATION)
    assert len(set(SIMULATOR_VERSIONS.values())) == len(POPULATIONS)


def test_patients_of_two_populations_with_one_seed_share_no_draw() -> None:
    assert SimulationConfig().stream_seed(7) == 7
    draws = {stream(config(name).stream_seed(7), 1, "fate").random() for name in POPULATIONS}
    assert len(draws) == len(POPULATIONS)


@pytest.mark.parametrize("population", NEW)
def test_not_one_voxel_of_the_first_visit_depends_on_fate(
    population: PopulationName, drawn: dict[str, list[truths.PatientTruth]]
) -> None:
    kinds = set()
    for recurs in drawn[population]:
        stays = patients.draw_truth(config(population, 0.0), SEED, recurs.patient_number)
        assert (recurs.fate, stays.fate) == ("recurrent", "stable")
        kinds |= {lesion.kind for lesion in recurs.lesions}
        first, other = patients.render_visit(recurs, 0), patients.render_visit(stays, 0)
        assert first.volumes.keys() == other.volumes.keys()
        for sequence, volume in first.volumes.items():
            assert np.array_equal(volume.voxels, other.volumes[sequence].voxels)
        assert np.array_equal(first.lesion, other.lesion)
        assert first.lesion_diameter_mm == pytest.approx(other.lesion_diameter_mm, abs=1e-9)
        # And what changes for other reasons changes alike.
        assert recurs.schedule == stays.schedule
        assert recurs.findings is not None
        assert stays.findings is not None
        assert recurs.findings.names() == stays.findings.names()
        assert recurs.reactions.treatment_effect is None or stays.reactions.treatment_effect is not None
    assert kinds


def test_a_growing_residual_looks_at_first_as_it_would_if_it_stayed(
    drawn: dict[str, list[truths.PatientTruth]],
) -> None:
    for truth in [*drawn["wide"], *drawn["shifted"]]:
        for lesion in truth.lesions:
            if isinstance(lesion.clock, Clock | LogisticClock):
                assert lesion.clock.onset_day >= 4.9
                assert np.array_equal(lesion.density_at(0.0), lesion.front.densities[0])


@pytest.mark.parametrize("population", NEW)
def test_the_event_is_on_its_day_whatever_the_law_of_growth(
    population: PopulationName, drawn: dict[str, list[truths.PatientTruth]]
) -> None:
    for truth in drawn[population]:
        growing = next(lesion for lesion in truth.lesions if isinstance(lesion.clock, Clock | LogisticClock))
        assert truth.event_day is not None
        days = np.arange(0.0, truth.event_day + 3.0)
        diameters = np.array([growing.diameter_at(float(day)) for day in days])
        needed = np.maximum(np.sqrt(1.25) * np.minimum.accumulate(diameters), 10.0)
        assert abs(float(days[np.argmax(diameters >= needed)]) - truth.event_day) <= 2.0


AGE = 1
"""Its column of the rows below."""
EXTENTS = ("gross_total", "near_total", "subtotal", "biopsy")
REGIONS = ("cerebellum", "hemisphere", "midline", "brainstem")


def blind_cohort(population: PopulationName, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What is true at the first visit, and the fates, of many patients."""
    rows, fates = [], []
    for number in range(1, count + 1):
        truth = patients.draw_truth(config(population), 5, number)
        names = () if truth.findings is None else truth.findings.names()
        effects = set(patients.distractors_of(truth))
        rows.append(
            [
                truth.diameter_at(0.0),
                truth.age_years,
                truth.surgery.radius_mm,
                float(truth.look.high_grade),
                float(truth.look.enhances),
                float(truth.schedule.first_days_since_treatment),
                *(float(truth.surgery.extent == extent) for extent in EXTENTS),
                *(float(truth.surgery.region == region) for region in REGIONS),
                float("changing_cyst" in names),
                float("shunt" in names),
                float("treatment_effect" in effects),
            ]
        )
        fates.append(truth.fate == "recurrent")
    return np.array(rows), np.array(fates)


def cross_validated_auroc(rows: np.ndarray, fates: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    scores = cross_val_predict(model, rows, fates, cv=10, method="predict_proba")[:, 1]
    return roc_auc_score(fates, scores)


def three_standard_errors(fates: np.ndarray) -> float:
    """Of the AUROC of scores that know nothing: the variance of the Mann-Whitney statistic over all pairs."""
    with_event, without = int(fates.sum()), int((~fates).sum())
    return 3 * ((with_event + without + 1) / (12 * with_event * without)) ** 0.5


@pytest.mark.parametrize("population", NEW)
def test_a_plain_classifier_on_the_first_visit_finds_chance(
    population: PopulationName, drawn: dict[str, list[truths.PatientTruth]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One brain, and no lesion beyond the first day, which is the same whatever the fate, as the tests above say.
    anatomy = drawn[population][0].anatomy

    def first_day_only(*, residual, anatomy, surgery, ranges, **_):
        quiet = draw_quiet_residual(residual, anatomy, surgery, ranges)
        return () if quiet is None else (quiet,)

    monkeypatch.setattr(truths, "draw_anatomy", lambda *_: anatomy)
    monkeypatch.setattr(truths, "with_arachnoid_cyst", lambda *_: (anatomy, None))
    monkeypatch.setattr(truths, "draw_lesions", first_day_only)
    rows, fates = blind_cohort(population, 50)
    assert 0.3 < fates.mean() < 0.6
    assert cross_validated_auroc(rows, fates) == pytest.approx(0.5, abs=three_standard_errors(fates))
    assert np.abs([np.corrcoef(column, fates)[0, 1] for column in rows.T if column.std() > 0]).max() < 0.45


def test_a_plain_classifier_on_the_first_visit_of_main_finds_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    # One brain, which takes nine tenths of a patient's time; all lesions with their growth, which no test above holds
    # against the fate in main.
    anatomy = patients.draw_truth(config("main"), SEED, 1).anatomy
    monkeypatch.setattr(truths, "draw_anatomy", lambda *_: anatomy)
    rows, fates = blind_cohort("main", MAIN_PATIENTS)
    tolerance = three_standard_errors(fates)
    assert cross_validated_auroc(rows, fates) == pytest.approx(0.5, abs=tolerance)
    # Ages that were older by 0.7 of their spread where an event is to come would have been found.
    rows[:, AGE] += 0.7 * rows[:, AGE].std() * fates
    assert cross_validated_auroc(rows, fates) > 0.5 + tolerance


def test_wide_holds_all_of_version_1_and_more() -> None:
    for name in ("snr", "bias_strength", "thick_mm"):
        least, most = getattr(MAIN.scanner, name)
        wide_least, wide_most = getattr(WIDE.scanner, name)
        assert wide_least <= least
        assert most <= wide_most
    assert set(MAIN.growth.laws) <= set(WIDE.growth.laws)
    assert set(MAIN.growth.kinds) < set(WIDE.growth.kinds)
    assert set(MAIN.protocols) <= set(WIDE.protocols)
    for population in (MAIN, WIDE, SHIFTED):
        for shares in (population.protocols, population.growth.laws, population.growth.kinds):
            assert sum(shares.values()) == pytest.approx(1.0)


def test_shifted_shares_nothing_with_training_that_it_is_meant_to_test() -> None:
    for trained in (MAIN, WIDE):
        assert not set(SHIFTED.anatomy.templates) & set(trained.anatomy.templates)
        assert not set(SHIFTED.growth.laws) & set(trained.growth.laws)
        assert SHIFTED.scanner.snr[1] <= trained.scanner.snr[0]
        assert SHIFTED.scanner.bias_strength[0] >= trained.scanner.bias_strength[1]
        assert SHIFTED.event_law != trained.event_law
        assert SHIFTED.draw_schedule is not trained.draw_schedule
        assert {scale for scale, _ in SHIFTED.anatomy.warp_scales_mm}.isdisjoint(
            scale for scale, _ in trained.anatomy.warp_scales_mm
        )


def test_further_anatomies_are_for_wide_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Further anatomies are for the population wide"):
        SimulationConfig(population="shifted", anatomies=tmp_path)
    with pytest.raises(UsageError, match=r"sub-folder for each anatomy.*Correct the folder"):
        simulate_cohort(
            SimulationConfig(population="wide", anatomies=tmp_path), patients=1, seed=1, output=tmp_path / "out"
        )


def test_an_unknown_population_is_refused() -> None:
    with pytest.raises(UsageError, match="population must be one of main, wide, shifted, got broad"):
        SimulationConfig(population="broad")  # type: ignore[arg-type]


def test_a_truth_file_tells_its_population_and_version() -> None:
    written = SimulationConfig(population="shifted").record()
    assert written["population"] == "shifted"
    assert "anatomies" not in written
    assert json.loads(json.dumps(written)) == written
