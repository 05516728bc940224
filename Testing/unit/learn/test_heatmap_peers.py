"""The comparison of heatmaps in Testing/science: one hazard behind every map, and its shortcut exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.learn.scoring import score_by_model
from TemporalGliomaRisk.learn.stored_patient import StoredPatient


@pytest.fixture(scope="module")
def scripts(science: Callable[[str], Any]) -> tuple[Any, Any]:
    """``peer_maps`` and ``heatmap_peers``."""
    return science("peer_maps"), science("heatmap_peers")


@pytest.fixture(scope="module")
def model(small_bundle: Path) -> RiskModel:
    return load_bundle(small_bundle)


@pytest.fixture(scope="module")
def patient(make_stored: Callable[..., StoredPatient]) -> StoredPatient:
    """Three times as long as the receptive field, so that a shortcut has something to leave out."""
    one = make_stored(3)
    long = {name: np.concatenate([getattr(one, name)] * 4, axis=-3) for name in ("volumes", "brain", "lesions")}
    return replace(one, **long)


@pytest.fixture(scope="module")
def visit(scripts: tuple[Any, Any], model: RiskModel, patient: StoredPatient) -> Any:
    return scripts[0].LastVisit(model, patient, torch.device("cpu"))


def test_every_map_explains_the_hazard_that_evaluate_scores(
    visit: Any, model: RiskModel, patient: StoredPatient
) -> None:
    rows = score_by_model(model, patient)
    scored = float(rows[-1].hazards.interval_hazards[:3].sum())
    assert visit.hazard == pytest.approx(scored, rel=1e-9)
    assert torch.allclose(visit.own_terms, rows[-1].hazards.horizon_terms)
    # The way that keeps gradients is another one, by other kernels.
    assert float(visit(visit.image[None]).detach()) == pytest.approx(scored, rel=1e-6)


@pytest.mark.parametrize("corner", [(2, 2, 2), (44, 12, 9), (91, 23, 15)])
def test_what_a_change_cannot_reach_need_not_be_computed_again(
    corner: tuple[int, int, int], scripts: tuple[Any, Any], visit: Any, patient: StoredPatient
) -> None:
    cube = torch.zeros_like(visit.brain)
    cube[tuple(slice(start, start + 3) for start in corner)] = True
    fill, complete = scripts[0].fills(visit, patient)
    changed = torch.where(cube & visit.brain, fill["first"] + 3.0, visit.image)
    with torch.no_grad():
        features = visit.network.encode_visit(changed, visit.present, visit.cells)
        whole = visit.background + float(visit._terms(features, visit.memory).sum())
    assert complete
    assert abs(whole - visit.hazard) > 1e-6
    assert visit.hazard_put_back(cube, fill["first"] + 3.0) == pytest.approx(whole, abs=1e-9)
    assert visit.hazard_put_back(cube & ~visit.brain, fill["first"]) == visit.hazard


def test_a_place_is_put_back_to_the_visits_that_have_the_sequence(
    scripts: tuple[Any, Any], model: RiskModel, make_stored: Callable[..., StoredPatient]
) -> None:
    one = make_stored(5)
    # The contrast-enhanced T1w is missing at the second of three visits, and at all but the last.
    middle = replace(one, present=np.array([[1, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 1]], bool), volumes=one.volumes[:5])
    never = replace(one, present=np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]], bool), volumes=one.volumes[:4])
    for patient, complete in ((middle, True), (never, False)):
        found, is_complete = scripts[0].fills(scripts[0].LastVisit(model, patient, torch.device("cpu")), patient)
        assert is_complete is complete
        assert np.array_equal(found["previous"][0], patient.visit_volumes(1)[0])
        assert np.array_equal(found["first"][0], patient.visit_volumes(0)[0])
        earlier = patient.visit_volumes(0)[3] if complete else found["mean"][3].numpy()
        for name in ("previous", "first"):
            assert np.array_equal(found[name][3], earlier)


def test_peers_attribute_what_the_hazard_changes_by(
    scripts: tuple[Any, Any], model: RiskModel, make_stored: Callable[..., StoredPatient]
) -> None:
    maps, patient = scripts[0], make_stored(3)
    visit = maps.LastVisit(model, patient, torch.device("cpu"))
    made = maps.maps_of(visit, patient, maps.PeerSettings(steps=4, occlusion_voxels=10))
    marks, noted = made["integrated gradients, from the first visit"]()
    assert abs(noted["completeness_error"]) < 0.02
    fill = maps.fills(visit, patient)[0]["first"]
    fall = visit.hazard - visit.hazard_put_back(visit.brain, fill)
    assert float(marks.detach().sum()) == pytest.approx(fall, rel=0.02)
    # Cubes begin at the brain's first voxel, 2 along every axis, and end at its last, 21, 25 and 17; a cell holds eight
    # voxels of a cube, and this one lies in one cube only.
    marks, noted = made["occlusion, by the first visit"]()
    cube = torch.zeros_like(visit.brain)
    cube[2:12, 12:22, 2:12] = True
    grid = torch.zeros(visit.cells.shape, dtype=torch.float64)
    grid[visit.cells] = marks
    fall = visit.hazard - visit.hazard_put_back(cube, fill)
    assert float(grid[4, 6, 3]) == pytest.approx(8 * fall, rel=1e-6, abs=1e-9)
    assert noted["positions"] == 2 * 3 * 2
    marks, _ = made["Grad-CAM"]()
    assert marks.shape == visit.own_terms.shape
    assert float(marks.detach().min()) >= 0 < float(marks.detach().max())


def test_a_group_is_summed_up_in_pairs_and_over_the_cases_that_know(scripts: tuple[Any, Any]) -> None:
    def case(ours: float, peer: float, centre: float | None, diameter: float) -> dict[str, Any]:
        score = {"share_inside": 0.5, "peak_distance_mm": 1.0, "seconds": 2.0}
        return {
            "growth_diameter_mm": diameter,
            "chance": 0.1,
            "centre_hit": centre,
            "share_expected": 0.01,
            "maps": {"ours": {"hit": ours, **score}, "peer": {"hit": peer, **score}},
            "curves": None,
        }

    cases = [case(1, 0, 1.0, 4), case(1, 1, None, 7), case(1, 0, 0.0, 12), case(0, 0, 0.0, 20)]
    found = scripts[1].summarise(cases, BootstrapConfig(resamples=200, seed=1))
    assert [found[name]["maps"] for name in ("all", "6 mm or more", "0 to 6 mm", "10 mm or more")] == [4, 3, 1, 2]
    peer = found["all"]["methods"]["peer"]
    assert peer["ours_less_this_pointing_game"]["value"] == pytest.approx(0.5)
    assert 0 <= peer["ours_less_this_pointing_game"]["low"] < 0.5 < peer["ours_less_this_pointing_game"]["high"] <= 1
    assert (found["all"]["maps_with_cavity"], found["all"]["pointing_game_at_cavity_centre"]["value"]) == (
        3,
        pytest.approx(1 / 3),
    )
    assert found["all"]["curves"] == {}
