"""Who learns, who watches, who is kept for the end; and what of a patient may be an input."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copyfile, copytree, rmtree

import numpy as np
import pytest
import SimpleITK as sitk

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.learn.cohort import CohortPatient, read_cohort, read_cohorts, split_patients
from TemporalGliomaRisk.learn.cohort_findings import rows_told, visits_after_last_contact
from TemporalGliomaRisk.learn.prepared_store import (
    ENOUGH,
    _cavity_centres,
    _truth_lesions,
    prepare_cohort,
    prepare_patient,
)
from TemporalGliomaRisk.learn.stored_patient import load_patient
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk

FRACTIONS = (0.55, 0.15, 0.30)


def labels(count: int) -> tuple[CohortPatient, ...]:
    return tuple(
        CohortPatient(
            patient_id=f"sub-{number:05d}", folder=Path(), truth=None, event_observed=False, follow_up_days=1.0
        )
        for number in range(count)
    )


def parts_of(patients: tuple[CohortPatient, ...], seed: int = 1) -> dict[str, str]:
    split = split_patients(patients, seed=seed, fractions=FRACTIONS)
    return {patient.patient_id: name for name, members in split.items() for patient in members}


def test_a_patient_never_moves_whoever_else_is_in_the_cohort() -> None:
    whole = parts_of(labels(600))
    assert len(whole) == 600
    for smaller in (labels(600)[:50], labels(600)[300:], tuple(reversed(labels(600)))):
        found = parts_of(smaller)
        assert found == {name: whole[name] for name in found}


def test_parts_have_their_shares_and_no_patient_in_common() -> None:
    split = split_patients(labels(4000), seed=3, fractions=FRACTIONS)
    shares = [len(split[name]) / 4000 for name in ("train", "validation", "test")]
    assert shares == pytest.approx(FRACTIONS, abs=4 * (0.25 / 4000) ** 0.5)
    assert sum(len(members) for members in split.values()) == 4000
    assert len({patient.patient_id for members in split.values() for patient in members}) == 4000


def test_another_seed_is_another_split() -> None:
    one, other = parts_of(labels(600), seed=1), parts_of(labels(600), seed=2)
    same = np.mean([one[name] == other[name] for name in one])
    # Independent draws agree with the chance of the squared shares: 0.55^2 + 0.15^2 + 0.30^2.
    assert same == pytest.approx(0.415, abs=0.09)


def test_visits_on_or_after_the_event_are_never_inputs(simulated_cohort: Path) -> None:
    patient = next(one for one in read_cohort(simulated_cohort) if one.event_observed)
    visits = read_timeline(patient.folder).visits
    kept = patient.input_visits(visits)
    assert [visit.days_since_first for visit in visits] == [0, 85, 208]
    assert patient.follow_up_days == 206
    assert [visit.days_since_first for visit in kept] == [0, 85]
    on_the_day = CohortPatient(
        patient_id="sub-1", folder=patient.folder, truth=None, event_observed=True, follow_up_days=85
    )
    assert len(on_the_day.input_visits(visits)) == 1


@pytest.fixture(scope="module")
def prepared(simulated_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare_cohort(read_cohort(simulated_cohort), folder, PreprocessConfig(register="never"))
    return folder


def test_prepared_visits_end_before_the_event_and_carry_the_truth(simulated_cohort: Path, prepared: Path) -> None:
    stored = load_patient(prepared, "sub-00027")
    assert stored.visits == 2
    assert stored.days_to_end.tolist() == [206, 121]
    assert stored.event_observed
    truth = [visit["lesion_mL"] for visit in stored.truth["visits"][:2]]
    assert [lesion.sum() * 0.008 for lesion in stored.lesions] == pytest.approx(truth, rel=0.1)
    outside = stored.visit_volumes(1)[:, ~stored.brain]
    assert not outside.any()
    present = stored.present[1]
    assert [bool(volume.any()) for volume in stored.visit_volumes(1)] == present.tolist()


def test_the_cavitys_centre_is_carried_to_the_model_grid_rigidly(simulated_cohort: Path, prepared: Path) -> None:
    stored = load_patient(prepared, "sub-00027")
    truth = simulated_cohort / "truth" / "sub-00027"
    brain = volume_from_sitk(sitk.ReadImage(str(truth / "sub-00027_desc-brain_mask.nii.gz")))
    # A rigid move keeps distances: to the brain's middle and to the first of its voxels along each world axis.
    marks = [brain.geometry.to_ras(np.argwhere(brain.voxels)).mean(axis=0)]
    moved = [2.0 * np.argwhere(stored.brain).mean(axis=0)]
    for visit, lesion in enumerate(stored.lesions):
        name = f"ses-{visit + 1:02d}/sub-00027_ses-{visit + 1:02d}_desc-lesion_mask.nii.gz"
        mask = volume_from_sitk(sitk.ReadImage(str(truth / name)))
        marks.append(mask.geometry.to_ras(np.argwhere(mask.voxels)).mean(axis=0))
        moved.append(2.0 * np.argwhere(lesion).mean(axis=0))
    oblique = np.abs(brain.geometry.ijk_to_ras[:3, :3])
    assert np.sort(oblique, axis=0)[-2].max() > 0.1
    assert len(stored.cavity_centres_ijk) == stored.visits == 2
    for visit, centre in enumerate(stored.cavity_centres_ijk):
        true = stored.truth["visits"][visit]["cavity_centre_ras_mm"]
        wanted = [np.linalg.norm(mark - true) for mark in marks]
        found = [np.linalg.norm(mark - 2.0 * np.array(centre)) for mark in moved]
        assert found == pytest.approx(wanted, abs=0.5)


def test_a_folder_prepared_before_cavities_were_written_down_is_still_read(prepared: Path, tmp_path: Path) -> None:
    copytree(prepared / "sub-00027", tmp_path / "sub-00027")
    facts = tmp_path / "sub-00027" / "patient.json"
    content = json.loads(facts.read_text(encoding="utf-8"))
    assert content.pop("cavity_centres_ijk")
    facts.write_text(json.dumps(content), encoding="utf-8")
    assert load_patient(tmp_path, "sub-00027").cavity_centres_ijk == (None, None)
    assert _cavity_centres({"visits": [{"lesion_mL": 1.0}]}, 1, None) == [None]


def test_preparing_again_redoes_nothing_and_another_preprocessing_is_refused(
    simulated_cohort: Path, prepared: Path
) -> None:
    patients = read_cohort(simulated_cohort)
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("volumes.npy")}
    done: list[int] = []
    prepare_cohort(patients, prepared, PreprocessConfig(register="never"), advance=done.append)
    assert sum(done) == len(patients) == len(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(InputError, match="made with another preprocessing"):
        prepare_cohort(patients, prepared, PreprocessConfig(register="never", clip=(-5.0, 5.0)))


def test_cohorts_learn_together_unless_two_patients_share_a_label(simulated_cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "sub-00001").mkdir()
    lines = ["participant_id\tevent_observed\tfollow_up_days", "sub-00001\tfalse\t10"]
    (tmp_path / "participants.tsv").write_text("\n".join(lines), encoding="utf-8")
    together = read_cohorts([simulated_cohort, tmp_path])
    assert together[0].folder == tmp_path / "sub-00001"
    assert together[1:] == read_cohort(simulated_cohort)
    (tmp_path / "sub-00027").mkdir()
    (tmp_path / "participants.tsv").write_text("\n".join([*lines, "sub-00027\tfalse\t10"]), encoding="utf-8")
    with pytest.raises(InputError, match="and 1 are shared; rename"):
        read_cohorts([simulated_cohort, tmp_path])


def test_of_several_cohorts_a_message_says_whose_table_it_means(simulated_cohort: Path, tmp_path: Path) -> None:
    table, header = tmp_path / "participants.tsv", "participant_id\tevent_observed\tfollow_up_days"
    (tmp_path / "sub-00001").mkdir()
    table.write_text(f"{header}\nsub-00001\tfalse\t-10\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"^participants\.tsv of cohort 2 line 2: follow_up_days must be"):
        read_cohorts([simulated_cohort, tmp_path])
    table.write_text(f"{header}\nsub-00001\tfalse\t10\n", encoding="utf-8")
    first, *others = read_cohorts([simulated_cohort, tmp_path])
    assert first.told == "sub-00001 (line 2 of participants.tsv of cohort 2)"
    said = rows_told([first, *others[:2]])
    lines = ", ".join(str(line) for line in sorted(one.line or 0 for one in others[:2]))
    assert said == f"line {lines} of participants.tsv of cohort 1, line 2 of participants.tsv of cohort 2"
    table.unlink()
    with pytest.raises(InputError, match=r"^participants\.tsv of cohort 2 is not in the folder given"):
        read_cohorts([simulated_cohort, tmp_path])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "^participants.tsv is not in the folder given; a cohort needs it"),
        ("", "is empty"),
        ("participant_id\tevent_observed\nsub-01\ttrue\n", "lacks the column follow_up_days"),
        ("participant_id\tevent_observed\tfollow_up_days\n", "lists no patient"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\tmaybe\t10\n", "line 2: event_observed must be"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\tlong\n", "line 2: follow_up_days must be"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\tinf\n", "line 2: follow_up_days must be"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t-5\n", "line 2: follow_up_days must be"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t1.194\n", "without points or commas"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t43831\n", "below 75 years"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\n", "line 2: follow_up_days must be"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-01\n", "line 2: event_observed must be"),
        (
            "participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t10\n\nsub-01\ttrue\t10\n",
            "names a patient twice, again in line 4",
        ),
        (
            "participant_id\tevent_observed\tfollow_up_days\tfollow_up_days\nsub-01\ttrue\t10\t900\n",
            "names a column twice",
        ),
        (f"participant_id\tevent_observed\tfollow_up_days\nsub-{'a' * 5000}\ttrue\t10\n", "has no folder"),
        ("participant_id\tevent_observed\tfollow_up_days\n../sub-01\ttrue\t10\n", "must be a BIDS label"),
        ("participant_id\tevent_observed\tfollow_up_days\nsub-77\ttrue\t10\n", "has no folder in the cohort"),
    ],
)
def test_a_table_of_patients_with_a_mistake_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    (tmp_path / "sub-01").mkdir()
    if text is not None:
        (tmp_path / "participants.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_cohort(tmp_path)


@pytest.mark.parametrize(("said", "days"), [("412.125", 412.125), ("28.000", 28.0), ("1194.250", 1194.25)])
def test_a_follow_up_that_can_be_read_in_one_way_only_is_read(tmp_path: Path, said: str, days: float) -> None:
    (tmp_path / "sub-01").mkdir()
    text = f"participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t{said}\n"
    (tmp_path / "participants.tsv").write_text(text, encoding="utf-8")
    assert read_cohort(tmp_path)[0].follow_up_days == days


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("event", "no_event"), [("true", "false"), ("TRUE", "FALSE"), ("1.0", "0.0"), ("yes", "No")])
def test_a_table_of_patients_is_read_as_spreadsheets_write_it(
    tmp_path: Path, encoding: str, event: str, no_event: str
) -> None:
    for label in ("sub-01", "sub-02"):
        (tmp_path / label).mkdir()
    rows = [
        "Participant_ID;event_observed; follow_up_days ;note",
        f"sub-02;{no_event};10.5;é",
        f"sub-01 ;{event};1e2;",
        ";;;",
    ]
    (tmp_path / "participants.tsv").write_bytes("\r\n".join(rows).encode(encoding))
    read = read_cohort(tmp_path)
    assert [(one.patient_id, one.event_observed, one.follow_up_days, one.line) for one in read] == [
        ("sub-01", True, 100.0, 3),
        ("sub-02", False, 10.5, 2),
    ]


def test_one_cohort_named_twice_is_refused(simulated_cohort: Path) -> None:
    with pytest.raises(InputError, match="named twice"):
        read_cohorts([simulated_cohort, simulated_cohort / "." / "truth" / ".."])


def test_a_corrected_sessions_table_is_not_scored_with_the_visits_prepared_before(
    simulated_cohort: Path, prepared: Path, tmp_path: Path
) -> None:
    patient = read_cohort(simulated_cohort)[0]
    copytree(prepared, tmp_path / "prepared")
    corrected = replace(patient, folder=tmp_path / patient.patient_id)
    corrected.folder.mkdir()
    name = f"{patient.patient_id}_sessions.tsv"
    said = (patient.folder / name).read_text(encoding="utf-8")
    (corrected.folder / name).write_text(said, encoding="utf-8")
    prepare_cohort([corrected], tmp_path / "prepared", PreprocessConfig(register="never"))
    (corrected.folder / name).write_text(said.replace("ses-02\t", "ses-02\t1"), encoding="utf-8")
    with pytest.raises(InputError, match="sessions table was changed"):
        prepare_cohort([corrected], tmp_path / "prepared", PreprocessConfig(register="never"))


def test_images_replaced_or_added_are_not_learnt_from_as_they_were(
    simulated_cohort: Path, prepared: Path, tmp_path: Path
) -> None:
    original = read_cohort(simulated_cohort)[0]
    copytree(prepared, tmp_path / "prepared")
    copytree(original.folder, tmp_path / original.patient_id, copy_function=copyfile)  # at another time of change
    copied = replace(original, folder=tmp_path / original.patient_id)
    prepare = partial(prepare_cohort, [copied], tmp_path / "prepared", PreprocessConfig(register="never"))
    prepare()
    flair = next(copied.folder.glob("ses-01/anat/*_FLAIR.nii.gz"))
    added = flair.with_name(flair.name.replace("_FLAIR", "_T1w"))
    assert not added.exists()
    copyfile(flair, added)
    with pytest.raises(InputError, match="images were replaced, added or taken away"):
        prepare()
    added.unlink()
    prepare()
    other = next(copied.folder.glob("ses-02/anat/*_FLAIR.nii.gz"))
    copyfile(other, flair)
    with pytest.raises(InputError, match="images were replaced, added or taken away"):
        prepare()
    for session in copied.folder.glob("ses-*"):
        rmtree(session)
    prepare()  # whoever keeps the prepared visits alone goes on with them


def test_another_truth_is_not_learnt_from_with_the_visits_prepared_before(
    simulated_cohort: Path, prepared: Path, tmp_path: Path
) -> None:
    patient = read_cohort(simulated_cohort)[0]
    copytree(prepared, tmp_path / "prepared")
    copytree(patient.truth, tmp_path / "truth")
    # Folders of before hold the record with the patient's line.
    facts = tmp_path / "prepared" / patient.patient_id / "patient.json"
    record = json.loads((patient.truth / "truth.json").read_text("utf-8"))
    facts.write_text(json.dumps({**json.loads(facts.read_text("utf-8")), "truth": record}), "utf-8")
    prepare_cohort([patient], tmp_path / "prepared", PreprocessConfig(register="never"))
    truth = tmp_path / "truth" / "truth.json"
    truth.write_text(json.dumps(json.loads(truth.read_text("utf-8")) | {"patient_number": 9999}), encoding="utf-8")
    with pytest.raises(InputError, match="truth was changed after the visits were prepared"):
        prepare_cohort(
            [replace(patient, truth=tmp_path / "truth")], tmp_path / "prepared", PreprocessConfig(register="never")
        )


def test_a_corrected_outcome_is_not_scored_with_the_visits_prepared_before(
    simulated_cohort: Path, prepared: Path, tmp_path: Path
) -> None:
    patient = read_cohort(simulated_cohort)[0]
    copytree(prepared, tmp_path / "prepared")
    corrected = replace(patient, follow_up_days=patient.follow_up_days + 30)
    with pytest.raises(InputError, match="have another outcome than"):
        prepare_cohort([corrected], tmp_path / "prepared", PreprocessConfig(register="never"))


def test_follow_up_in_years_is_refused_before_anybody_is_prepared(simulated_cohort: Path, tmp_path: Path) -> None:
    several = [one for one in read_cohort(simulated_cohort) if len(read_timeline(one.folder).visits) > 1]
    in_years = [replace(one, follow_up_days=one.follow_up_days / 365) for one in several]
    patients = [replace(in_years[number % len(several)], patient_id=f"sub-{number}") for number in range(ENOUGH)]
    with pytest.raises(InputError, match="none has a second one before the end of follow-up"):
        prepare_cohort(patients, tmp_path, PreprocessConfig(register="never"))
    assert not [*tmp_path.glob("sub-*")]


def test_visits_after_a_follow_up_without_an_event_are_told_and_after_an_event_are_not(simulated_cohort: Path) -> None:
    patient = next(one for one in read_cohort(simulated_cohort) if not one.event_observed)
    last = read_timeline(patient.folder).visits[-1].days_since_first
    short = [replace(patient, follow_up_days=last - 0.5, line=line) for line in (3, 9)]
    (told,) = visits_after_last_contact([*short, replace(patient, follow_up_days=last, line=4)])
    assert "of 2 without an event (line 3, 9 of participants.tsv) ended before their last visit" in told.message
    assert not visits_after_last_contact([replace(short[0], event_observed=True)])


def test_a_patient_who_cannot_be_prepared_is_told_by_line_from_any_process(tmp_path: Path) -> None:
    patients = []
    for line, label in ((2, "sub-07"), (3, "sub-20190304")):
        (tmp_path / label / "ses-01" / "anat").mkdir(parents=True)
        patients.append(
            replace(labels(1)[0], patient_id=label, folder=tmp_path / label, line=line, follow_up_days=400.0)
        )
    for jobs, told, of in ((1, "sub-07", patients), (2, "A patient", patients[1:])):
        with pytest.raises(InputError, match=rf"^{told} \(line {of[0].line} of participants.tsv\): No volume"):
            prepare_cohort(of, tmp_path / "prepared", PreprocessConfig(register="never"), jobs=jobs)


def test_a_damaged_truth_is_refused_in_a_sentence(simulated_cohort: Path, tmp_path: Path) -> None:
    patient = next(one for one in read_cohort(simulated_cohort) if one.patient_id == "sub-00027")
    copytree(patient.truth, tmp_path / "truth")
    damaged = replace(patient, truth=tmp_path / "truth")
    (tmp_path / "truth" / "truth.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="Simulate the patient again"):
        damaged.truth_record()
    whole = json.loads((patient.truth / "truth.json").read_text("utf-8"))
    for visits in ([{}], [{**whole["visits"][0], "lesion_diameters_mm": {"residual": None}}], "none"):
        (tmp_path / "truth" / "truth.json").write_text(json.dumps({**whole, "visits": visits}), encoding="utf-8")
        with pytest.raises(InputError, match="lacks what belongs in it, or holds what does not"):
            damaged.truth_record(visits=1)
    rmtree(tmp_path / "truth" / "ses-01")
    with pytest.raises(InputError, match="mask of the cohort's truth is missing or damaged"):
        _truth_lesions(damaged, ["ses-01"], None)
    (tmp_path / "truth" / "sub-00027_desc-brain_mask.nii.gz").write_bytes(b"{")
    with pytest.raises(InputError, match=r"^sub-00027 .* mask of the cohort's truth is missing or damaged"):
        prepare_patient(damaged, folder=tmp_path, config=PreprocessConfig(register="never"))


@pytest.mark.parametrize(("said", "day"), [("410", 410.0), ("n/a", None), ("", None), ("400", 400.0)])
def test_a_table_may_say_which_visit_showed_the_event(tmp_path: Path, said: str, day: float | None) -> None:
    assert read_cohort(shown_at(tmp_path, said))[0].event_day_at_visit == day
    assert read_cohort(shown_at(tmp_path, said, event="false"))[0].event_day_at_visit is None


@pytest.mark.parametrize("said", ["399", "soon", "inf", "nan", "43831"])
def test_a_visit_that_showed_an_event_before_it_came_is_refused_with_its_line(tmp_path: Path, said: str) -> None:
    with pytest.raises(InputError, match="line 2: event_day_at_visit must be a number of days, not before the event"):
        read_cohort(shown_at(tmp_path, said))


def shown_at(folder: Path, said: str, event: str = "true") -> Path:
    (folder / "sub-01").mkdir(exist_ok=True)
    lines = ["participant_id\tevent_observed\tfollow_up_days\tevent_day_at_visit", f"sub-01\t{event}\t400\t{said}"]
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
