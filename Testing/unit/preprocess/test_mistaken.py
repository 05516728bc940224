"""A volume under another sequence's name: told by the order of its intensities, which no scanner's gain changes."""

from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.mistaken import looks_like, white_matter_contradicts
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.visit import Visit

NEVER = PreprocessConfig(register="never")


@pytest.fixture(scope="module")
def visit(shared_data: Path) -> Visit:
    """A real glioma, all four sequences, stripped."""
    anat = shared_data / "glioma_single" / "sub-01" / "anat"
    names = ("FLAIR", "T2w", "T1w", "ce-gd_T1w")
    sources = {name: VolumeFile(path=anat / f"sub-01_{name}.nii.gz", role=name) for name in names}
    return Visit(session_id="ses-01", days_since_first=0, days_since_treatment=None, sources=sources)


@pytest.fixture(scope="module")
def frame_of(visit: Visit):
    return prepare_first_visit(visit, NEVER)


def renamed(visit: Visit, **names: str) -> Visit:
    """A visit whose files go by other files' names: ``FLAIR="T1w"`` puts the T1w where the FLAIR was."""
    sources = dict(visit.sources)
    for name, other in names.items():
        sources[name.replace("ce_gd", "ce-gd")] = visit.sources[other]
    return Visit(session_id="ses-02", days_since_first=90, days_since_treatment=None, sources=sources)


def said(findings) -> set[tuple[str, str]]:
    codes = ("looks_like_another_sequence", "white_matter_contradicts_label")
    return {(finding.code, finding.sequence) for finding in findings if finding.code in codes}


def test_files_under_their_own_names_are_not_doubted(visit: Visit, frame_of) -> None:
    frame, first = frame_of
    assert said(first.findings) == set()
    assert said(prepare_visit(renamed(visit), frame, NEVER, number=2).findings) == set()


def test_two_files_exchanged_at_a_later_visit_are_both_told(visit: Visit, frame_of) -> None:
    frame, _ = frame_of
    later = prepare_visit(renamed(visit, FLAIR="ce-gd_T1w", ce_gd_T1w="FLAIR"), frame, NEVER, number=2)
    found = said(later.findings)
    assert {("looks_like_another_sequence", "FLAIR"), ("looks_like_another_sequence", "ce-gd_T1w")} <= found
    (message,) = (one.message for one in later.findings if one.code.startswith("looks") and one.sequence == "FLAIR")
    assert "T1w of visit 1" in message
    assert all(finding.visit == 2 for finding in later.findings)


def test_exchanged_at_the_first_visit_white_matter_tells(visit: Visit) -> None:
    _, first = prepare_first_visit(renamed(visit, FLAIR="T1w", T1w="FLAIR"), NEVER)
    assert said(first.findings) == {
        ("white_matter_contradicts_label", "FLAIR"),
        ("white_matter_contradicts_label", "T1w"),
    }


def test_contrast_agent_makes_no_other_sequence(visit: Visit, frame_of) -> None:
    frame, _ = frame_of
    assert said(prepare_visit(renamed(visit, T1w="ce-gd_T1w"), frame, NEVER, number=2).findings) == set()


def test_gain_and_gamma_change_no_answer(frame_of) -> None:
    frame, first = frame_of
    flair, t1 = frame.references["FLAIR"], frame.references["T1w"]
    for other in (7.5 * t1, np.sqrt(t1)):
        assert looks_like("FLAIR", other, frame.brain_mask, frame.references) == "T1w"
        assert white_matter_contradicts("FLAIR", other, frame.brain_mask) == "bright"
    assert looks_like("FLAIR", np.sqrt(flair), frame.brain_mask, frame.references) is None
    assert first.present.all()


def test_where_too_little_or_nothing_can_be_compared_nothing_is_said(frame_of) -> None:
    frame, _ = frame_of
    little = np.zeros_like(frame.brain_mask)
    little[40:44, 40:44, 40:44] = True
    others = {name: frame.references[name] for name in ("T1w", "T2w")}
    t1 = frame.references["T1w"]
    assert looks_like("FLAIR", t1, little, frame.references) is None
    assert looks_like("FLAIR", t1, frame.brain_mask, others) is None
    assert white_matter_contradicts("FLAIR", t1, little) is None
    assert white_matter_contradicts("FLAIR", np.ones_like(t1), frame.brain_mask) is None
