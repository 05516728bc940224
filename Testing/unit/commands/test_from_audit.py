"""``predict --from-audit``: the same run again, bit for bit, and what is not the same said or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from TemporalGliomaRisk.bundle import seal_bundle
from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.report.audit import read_audit_record
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import Volume


@dataclass(frozen=True)
class Ran:
    """A first run, in folders of its own."""

    table: Path
    model: Path
    mask: Path
    output: Path

    @property
    def audit(self) -> Path:
        return self.output / "audit.json"

    def again(self, output: Path, *options: object, audit: Path | None = None) -> int:
        given = ["predict", self.table, "--output", output, "--from-audit", audit or self.audit]
        return main([*map(str, given), *map(str, options)])


@pytest.fixture(scope="module")
def first(simulated_patient: Path, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Two visits of one sequence, risks only, with a mask."""
    folder = tmp_path_factory.mktemp("first")
    name = simulated_patient.name
    lines = ["path,sequence,days_since_treatment"]
    for visit in (1, 2):
        file = simulated_patient / f"ses-0{visit}" / "anat" / f"{name}_ses-0{visit}_T2w.nii.gz"
        shutil.copy(file, folder / f"visit{visit}.nii.gz")
        lines.append(f"visit{visit}.nii.gz,T2w,{90 * visit}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    shutil.copytree(small_bundle, folder / "model")
    mask = folder / "mask.nii.gz"
    shutil.copy(simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz", mask)
    ran = Ran(table=folder / "table.csv", model=folder / "model", mask=mask, output=folder / "out")
    given = ["predict", ran.table, "--output", ran.output, "--model", ran.model, "--mask", mask, "--no-cache"]
    assert main([*map(str, given), "--register", "never", "--no-heatmaps"]) == 0
    return ran


def test_a_run_is_repeated_byte_for_byte_with_the_options_of_its_audit(
    first: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert first.again(tmp_path / "again", "--model", first.model, "--mask", first.mask) == 0
    said = capsys.readouterr().err
    assert said == "repeated: risk.json is the same, byte for byte.\n"
    for name in ("risk.json", "risk.tsv", "montage.png"):
        assert (tmp_path / "again" / name).read_bytes() == (first.output / name).read_bytes()
    before, now = (read_audit_record(path / "audit.json") for path in (first.output, tmp_path / "again"))
    assert (now.inputs, now.days, now.options, now.brain_mask) == (
        before.inputs,
        before.days,
        before.options,
        before.brain_mask,
    )
    assert before.brain_mask is not None
    assert before.days == {
        "ses-01": {"since_first": 0, "since_treatment": 90},
        "ses-02": {"since_first": 90, "since_treatment": 180},
    }


@pytest.fixture
def copy(first: Ran, tmp_path: Path) -> Ran:
    """The first run in folders that a test may change."""
    folder = tmp_path / "copy"
    shutil.copytree(first.table.parent, folder)
    return Ran(table=folder / "table.csv", model=folder / "model", mask=folder / "mask.nii.gz", output=folder / "out")


def brighter(path: Path) -> None:
    volume = VolumeFile(path=path, role="a test").read()
    write_nifti(Volume(voxels=volume.voxels + 1, geometry=volume.geometry), path)


CHANGES: dict[str, tuple[Callable[[Ran], object], str]] = {
    "a voxel": (lambda ran: brighter(ran.table.parent / "visit2.nii.gz"), "T2w of visit 2 has other bytes"),
    "a day": (
        lambda ran: ran.table.write_text(ran.table.read_text().replace("180", "181")),
        "visit 2 is on another day",
    ),
    "a visit": (
        lambda ran: ran.table.write_text("\n".join(ran.table.read_text().splitlines()[:2])),
        "it had 2 visits and the input has 1",
    ),
    "a sequence": (
        lambda ran: ran.table.write_text(ran.table.read_text().replace("visit2.nii.gz,T2w", "visit2.nii.gz,FLAIR")),
        "T2w of visit 2 is missing; FLAIR of visit 2 is new",
    ),
    "the mask": (lambda ran: brighter(ran.mask), "the brain mask is another"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_input_is_refused_with_what_differs_and_nothing_is_written(
    copy: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    change, words = CHANGES[what]
    change(copy)
    assert copy.again(tmp_path / "again", "--model", copy.model, "--mask", copy.mask) == 2
    said = capsys.readouterr().err
    assert f"The input is not that of the audited run: {words}." in said
    assert said.count("\n") == 1
    assert not (tmp_path / "again").exists()


def test_another_model_is_refused(copy: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert copy.again(tmp_path / "again", "--mask", copy.mask) == 2
    assert "model is not shipped with this version" in capsys.readouterr().err
    with (copy.model / "docs" / "README.md").open("a") as card:
        card.write("Changed.\n")
    seal_bundle(copy.model)
    assert copy.again(tmp_path / "again", "--model", copy.model, "--mask", copy.mask) == 2
    said = capsys.readouterr().err
    assert "The model is not that of the audited run: SHA256SUMS, docs/README.md differ" in said


def test_what_a_reader_keeps_in_a_model_s_folder_is_none_of_the_model(copy: Ran, tmp_path: Path) -> None:
    (copy.model / "notes.txt").write_text("mine")
    assert copy.again(tmp_path / "again", "--model", copy.model, "--mask", copy.mask) == 0


def test_results_are_not_written_into_a_model_s_folder(
    copy: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(copy.model.rglob("*"))
    given = ["predict", copy.table, "--output", copy.model, "--model", copy.model, "--no-cache"]
    assert main([*map(str, given)]) == 2
    assert "The output folder is a model's" in capsys.readouterr().err
    assert sorted(copy.model.rglob("*")) == before


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda audit: audit["options"].update(device=5), "does not say the option device as predict writes"),
        (lambda audit: audit["options"].update(register=None), "does not say the option register"),
        (lambda audit: audit["options"].update(identified="false", scene=1), "the options identified, scene as"),
        (lambda audit: audit["options"].pop("heatmaps"), "does not say the option heatmaps"),
        (lambda audit: audit.update(days={}), "tells the days of 0 visits and the input has 2"),
    ],
)
def test_an_audit_that_was_changed_is_refused(
    copy: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[dict], object], words: str
) -> None:
    audit = json.loads(copy.audit.read_text())
    edit(audit)
    copy.audit.write_text(json.dumps(audit))
    assert copy.again(tmp_path / "again", "--model", copy.model, "--mask", copy.mask) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "again").exists()


def test_versions_system_and_risks_that_differ_are_told(
    copy: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = json.loads(copy.audit.read_text())
    audit["versions"] |= {"numpy": "1.0", "pydicom": "9.9"}
    audit["platform"] = "Plan 9"
    copy.audit.write_text(json.dumps(audit))
    risks = json.loads((copy.output / "risk.json").read_text())
    risks["visits"][1]["risk"] += 0.25
    (copy.output / "risk.json").write_text(json.dumps(risks))
    assert copy.again(tmp_path / "again", "--model", copy.model, "--mask", copy.mask) == 0
    said = capsys.readouterr().err
    assert "differs: numpy was 1.0 and is " in said
    assert "differs: The system was Plan 9 and is " in said
    assert "repeated: risk.json differs; the largest difference of a visit's risk is 0.25." in said
    assert "torch was" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--register", "always"], "Leave --register out"),
        (["--device", "cpu", "--identified"], "Leave --device and --identified out"),
        (["--scene"], "Leave --scene out"),
        (["--mask", "none"], "Leave --mask none out"),
        ([], "had a brain mask of its own"),
        (["--output", "{first}"], "would replace the results"),
        (["--from-audit", "{first}/risk.json"], "audit.json is not valid"),
        (["--from-audit", "{first}/none.json"], "audit.json cannot be read"),
    ],
)
def test_options_that_contradict_an_audit_are_refused(
    first: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    given = [option.format(first=first.output) for option in options]
    assert first.again(tmp_path / "again", "--model", first.model, *given) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
