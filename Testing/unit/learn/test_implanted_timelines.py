"""Patients learnt from a second time: what is laid in is what their truth and their rows say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig, HistoryHead
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.agreement import _of_visits
from TemporalGliomaRisk.learn.feature_store import (
    PatientFeatures,
    PlaceSampling,
    cache_features,
    grown_places,
    load_features,
)
from TemporalGliomaRisk.learn.finetune import FinetuneConfig, begin_head, finetune_head, plain_rows, training_rows
from TemporalGliomaRisk.learn.implanted_timelines import (
    COURSES,
    EVENT_DIAMETER_MM,
    EVENT_PRODUCT_GROWTH,
    ImplantedPatient,
    TimelineImplantConfig,
    draw_course,
    with_implants,
)
from TemporalGliomaRisk.learn.implants import ImplantConfig
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.learn.timeline_features import implanted_features, timeline_features
from TemporalGliomaRisk.simulate import growth

MakeStored = Callable[..., StoredPatient]
DAYS = np.array([0.0, 90.0, 200.0, 410.0, 700.0])
CRISP = ImplantConfig(edge_voxels=(1e-6, 1e-6), rim_chance=0.0)


def only(course: str, *, share: float = 1.0) -> TimelineImplantConfig:
    return TimelineImplantConfig(share=share, courses=tuple(float(name == course) for name in COURSES), look=CRISP)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def laid_in(
    host: StoredPatient, course: str, seed: int = 1, diameter_mm: tuple[float, float] = (4.0, 30.0)
) -> ImplantedPatient:
    config = replace(only(course), diameter_mm=diameter_mm)
    (found,) = with_implants([host], config, grid_mm=2.0, seed=seed)
    assert isinstance(found, ImplantedPatient)
    return found


def test_the_threshold_is_the_simulators() -> None:
    assert growth.EVENT_DIAMETER_MM == EVENT_DIAMETER_MM
    assert growth.EVENT_PRODUCT_GROWTH == EVENT_PRODUCT_GROWTH


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("course", ["appears", "grows"])
def test_growth_is_an_event_on_the_day_that_it_passes_the_threshold(course: str, seed: int) -> None:
    found = draw_course(DAYS, only(course), seeded(seed))
    assert found.onset_day is not None
    assert found.event_day is not None
    assert DAYS[0] <= found.onset_day < found.event_day
    assert (np.diff(found.diameters_mm) >= 0).all()
    assert 4.0 <= found.diameters_mm[-1] <= 30.0
    assert (found.diameters_mm[0] > 0) == (course == "grows")
    threshold = max(EVENT_DIAMETER_MM, found.diameters_mm[0] * EVENT_PRODUCT_GROWTH**0.5)
    # From the onset on diameters lie on one line; the event's day is where it meets the threshold.
    at_event = np.interp(found.event_day, [found.onset_day, DAYS[-1]], [found.diameters_mm[0], found.diameters_mm[-1]])
    if found.event_day <= DAYS[-1]:
        assert at_event == pytest.approx(threshold)
    else:
        assert found.diameters_mm[-1] < threshold


@pytest.mark.parametrize("course", ["stays", "fades", "passes", "void"])
def test_what_does_not_grow_changes_no_outcome(course: str, make_stored: MakeStored) -> None:
    host = make_stored(1, visits=4, grows=False)
    found = laid_in(host, course)
    for mine, theirs in zip(found.row_ends, host.row_ends, strict=True):
        assert np.array_equal(mine, theirs)
    seen = found.radii_voxels > 0
    once = seen.sum() == 1 and not seen[0]
    assert {"stays": seen.all(), "fades": seen[0], "passes": once, "void": once}[course]
    assert found.radii_voxels[0] == found.radii_voxels.max() or course in ("passes", "void")


def test_a_void_is_dark_and_no_lesion(make_stored: MakeStored) -> None:
    host = make_stored(5, visits=4, grows=False)
    shown = 0
    for seed in range(8):
        found = laid_in(host, "void", seed, diameter_mm=(12.0, 20.0))
        assert host.lesions is not None
        assert np.array_equal(found.lesion_masks, host.lesions)
        visit = int(np.argmax(found.radii_voxels))
        moved = found.visit_volumes(visit) - host.visit_volumes(visit)
        # The cube under it may be flattened upwards at its dark rim; in the mean a void takes signal away.
        changed = np.abs(moved).max(axis=0) > 1e-3
        shown += bool(changed.any())
        assert moved[:, changed].sum() <= 0
    assert shown > 3  # a void may lie in sequences that the visit does not have


def test_rows_before_the_growth_are_watched_until_it_and_rows_after_the_event_are_events_at_once(
    make_stored: MakeStored,
) -> None:
    host = make_stored(2, visits=6, grows=False)
    kinds = set()
    for seed in range(20):
        found = laid_in(host, "appears", seed)
        days, events = found.row_ends
        assert found.onset_day is not None
        for day, radius, end, event in zip(found.days_since_first, found.radii_voxels, days, events, strict=True):
            assert event == (radius > 0)
            if not event:
                assert end == pytest.approx(max(found.onset_day - day, 1.0))
            else:
                assert end == pytest.approx(max(found.follow_up_days - day, 1.0))
            kinds.add((bool(event), end == 1.0))
    assert (True, True) in kinds
    assert (True, False) in kinds


def test_the_lesion_is_in_the_pictures_where_the_truth_says_and_nowhere_else(make_stored: MakeStored) -> None:
    host = make_stored(3, visits=4, grows=False)
    for seed in range(5):
        found = laid_in(host, "grows", seed, diameter_mm=(14.0, 30.0))
        assert host.lesions is not None
        assert found.lesion_masks is not None
        for visit in range(host.visits):
            plain, shown = host.visit_volumes(visit), found.visit_volumes(visit)
            mine = found.lesion_masks[visit] & ~host.lesions[visit]
            moved = np.abs(shown - plain).max(axis=0) > 1e-3
            assert not (moved & ~found.lesion_masks[visit]).any()
            assert mine.sum() == pytest.approx((moved & mine).sum(), rel=0.05)
            assert not shown[~host.present[visit]].any()
            assert not (found.lesion_masks[visit] & ~host.brain & ~host.lesions[visit]).any()
        grown = grown_places(found)
        assert grown is not None
        assert grown[-1].any()
        # What grew at the implant's border is growth, whatever the host's own diameters say of its own.
        diameters = {"lesion_diameters_mm": {"residual": 9.0}}
        still = replace(found, host=replace(host, truth={"visits": [diameters] * host.visits}))
        change = still.growth_between(0, host.visits - 1)
        assert change is not None
        laid = found.lesion_masks[-1] & ~found.lesion_masks[0]
        assert np.array_equal(change[0], laid)
        assert not change[1].any()


def test_hosts_are_patients_with_several_visits_and_no_event_each_with_a_draw_of_its_own(
    make_stored: MakeStored,
) -> None:
    stable = [make_stored(number, grows=False) for number in range(40)]
    others = [make_stored(50, grows=True), make_stored(51, visits=1, grows=False)]
    assert with_implants(others, TimelineImplantConfig(share=1.0), grid_mm=2.0, seed=1) == []
    assert with_implants(stable, TimelineImplantConfig(share=0.0), grid_mm=2.0, seed=1) == []
    half = with_implants([*others, *stable], TimelineImplantConfig(), grid_mm=2.0, seed=1)
    assert 10 <= len(half) <= 30
    assert len({tuple(patient.radii_voxels) for patient in half if isinstance(patient, ImplantedPatient)}) == len(half)
    other_seed = with_implants(stable, TimelineImplantConfig(), grid_mm=2.0, seed=2)
    assert not {patient.patient_id for patient in half} & {patient.patient_id for patient in other_seed}
    alone = with_implants([stable[int(half[0].patient_id[4:9])]], TimelineImplantConfig(), grid_mm=2.0, seed=1)
    assert np.array_equal(alone[0].visit_volumes(2), half[0].visit_volumes(2))


def test_each_host_is_learnt_from_as_often_as_asked_every_time_with_another_lesion(make_stored: MakeStored) -> None:
    stable = [make_stored(number, grows=False) for number in range(6)]
    once = with_implants(stable, TimelineImplantConfig(share=1.0), grid_mm=2.0, seed=1)
    thrice = with_implants(stable, TimelineImplantConfig(share=1.0, each=3), grid_mm=2.0, seed=1)
    assert len(thrice) == 3 * len(once) == 18
    assert len({patient.patient_id for patient in thrice}) == 18
    assert len({tuple(patient.radii_voxels) for patient in thrice if isinstance(patient, ImplantedPatient)}) == 18
    for first, again in zip(once, thrice[::3], strict=True):
        assert first.patient_id == again.patient_id
        assert np.array_equal(first.visit_volumes(2), again.visit_volumes(2))


@pytest.mark.parametrize("course", ["appears", "grows", "fades", "void"])
@pytest.mark.parametrize("convolutions", [0, 1, 3])
def test_places_that_see_no_lesion_need_no_second_encoding(
    course: str, convolutions: int, make_stored: MakeStored
) -> None:
    config = EvidenceConfig(feature_channels=4, convolutions=convolutions)
    model = PairModel(config)
    host = make_stored(3, visits=3, grows=False)
    without = timeline_features(model, host)
    changed = 0
    for seed in range(4):
        found = laid_in(host, course, seed, diameter_mm=(4.0, 12.0))
        whole = timeline_features(model, found)
        assert (implanted_features(model, found, without) - whole).abs().max() < 5e-3
        changed += bool((whole - without).abs().max() > 5e-2)
    assert changed


def test_soft_edges_reach_as_far_as_anything_changes(make_stored: MakeStored) -> None:
    model = PairModel(EvidenceConfig(feature_channels=8, convolutions=1))
    host = make_stored(3, visits=3, grows=False)
    without = timeline_features(model, host)
    soft = TimelineImplantConfig(share=1.0, each=12, look=ImplantConfig(edge_voxels=(0.8, 0.8), signal=(5.0, 5.0)))
    furthest = 0.0
    for found in with_implants([host], soft, grid_mm=2.0, seed=1):
        assert isinstance(found, ImplantedPatient)
        whole = timeline_features(model, found)
        furthest = max(furthest, float((implanted_features(model, found, without) - whole).abs().max()))
    assert furthest < 4e-3


def test_features_are_the_same_whether_the_host_is_encoded_with_them_or_not(
    make_stored: MakeStored, tmp_path: Path
) -> None:
    model = PairModel(EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6))
    host = make_stored(3, visits=3, grows=False)
    found = laid_in(host, "appears")
    done: list[int] = []
    sampling = PlaceSampling(foremost=30, sampled=30)
    cache_features(model, (host, found), tmp_path / "both", sampling, seed=1, advance=done.append)
    cache_features(model, (host,), tmp_path / "later", sampling, seed=1)
    cache_features(model, (host, found), tmp_path / "later", sampling, seed=1, advance=done.append)
    assert done == [2, 2]
    for patient in (host, found):
        one, other = (load_features(tmp_path / name, patient.patient_id) for name in ("both", "later"))
        assert torch.equal(one.features, other.features)


def test_features_of_other_visits_or_another_lesion_are_made_anew(make_stored: MakeStored, tmp_path: Path) -> None:
    model = PairModel(EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6))
    host = make_stored(3, visits=3, grows=False)
    one, other = (laid_in(host, course) for course in ("appears", "fades"))
    fewer = _of_visits(host, np.array([True, False, True]))
    sampling = PlaceSampling(foremost=30, sampled=30)

    def kept(*patients: StoredPatient) -> list[torch.Tensor]:
        cache_features(model, patients, tmp_path / "kept", sampling, seed=1)
        return [load_features(tmp_path / "kept", patient.patient_id).features for patient in patients]

    def fresh(number: int, *patients: StoredPatient) -> list[torch.Tensor]:
        folder = tmp_path / f"fresh-{number}"
        cache_features(model, patients, folder, sampling, seed=1)
        return [load_features(folder, patient.patient_id).features for patient in patients]

    for number, patients in enumerate([(host, one), (host, replace(other, patient_id=one.patient_id)), (fewer,)]):
        assert all(map(torch.equal, kept(*patients), fresh(number, *patients)))
    (tmp_path / "kept" / f"{host.patient_id}.safetensors").write_bytes(b"cut short")
    assert torch.equal(*kept(fewer), *fresh(3, fewer))


def test_an_implant_teaches_nothing_about_the_days(make_stored: MakeStored, tmp_path: Path) -> None:
    pretrained = PairModel(
        EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)
    )
    hosts = [make_stored(number, visits=4, grows=False) for number in range(4)]
    implanted = [laid_in(host, "appears") for host in hosts]
    cache_features(pretrained, (*hosts, *implanted), tmp_path, PlaceSampling(foremost=40, sampled=40), seed=1)
    config = FinetuneConfig(epochs=1, sampled_places=20)
    before = begin_head(pretrained, config).background.weight

    def learnt(name: str, patients: Sequence[StoredPatient]) -> HistoryHead:
        path = tmp_path / f"{name}.safetensors"
        return finetune_head(pretrained, patients, hosts, lambda one: load_features(tmp_path, one), path, config=config)

    from_implants, from_hosts = learnt("implants", implanted), learnt("hosts", hosts)
    assert torch.equal(from_implants.background.weight, before)
    assert not torch.equal(from_implants.growth.weight, pretrained.growth.weight)
    assert not torch.equal(from_hosts.background.weight, before)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        TimelineImplantConfig(share=share)


def test_fine_tuning_reads_the_rows_as_the_implant_ends_them(make_stored: MakeStored) -> None:
    host = make_stored(4, visits=5, grows=False)
    found = laid_in(host, "appears")
    features = PatientFeatures(features=torch.zeros(5, 4, 6, 3, dtype=torch.float16), foremost=2, rest=10)
    rows = plain_rows(found, features)
    days, events = found.row_ends
    assert rows.days_to_end.tolist() == pytest.approx(days.tolist())
    assert rows.event.tolist() == events.tolist()
    config = replace(FinetuneConfig(), drop_visit_chance=0.0, sampled_places=4)
    drawn = training_rows(found, features, config, seeded(1))
    assert drawn.event.tolist() == events.tolist()
