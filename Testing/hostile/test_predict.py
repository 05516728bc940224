"""Hostile input through the whole of ``predict``: alignment, brain mask, network and files, and through the worker."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_workshop import SECRET, Expected, Workshop, head, nifti, squeezed

from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.report.record import read_risk_record
from TemporalGliomaRisk.worker.client import WorkerClient

ADULT_ML = 1450.0
"""Volume of the masks that would be right but for what is wrong with them."""


def built(file: str, name: str, work: Workshop) -> Expected:
    """A case of another file of this folder."""
    path = Path(__file__).with_name(f"{file}.py")
    spec = importlib.util.spec_from_file_location(file, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(module, f"case_{name}")(work)


@pytest.fixture
def work(tmp_path: Path) -> Workshop:
    folder = tmp_path / f"in {SECRET}"
    folder.mkdir()
    return Workshop(folder=folder)


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[[Path], dict[str, tuple[int, int]]]:
    return vars(request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py"))))["snapshot"]


@pytest.fixture
def predicted(
    tmp_path: Path,
    small_bundle: Path,
    snapshot: Callable[[Path], dict[str, tuple[int, int]]],
    bounded: Any,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str]]:
    """Run ``predict``; its status and what it said to the reader, in words or in the result.

    Nothing may be written beside the output, be it refused or not, and nothing said or written may tell a name, a place
    in the system, or a traceback.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORAL_GLIOMA_RISK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("TemporalGliomaRisk.results.write_montage", lambda record, pictures, path: None)

    def run(path: Path, *options: str) -> tuple[int, str]:
        before = snapshot(tmp_path)
        capfd.readouterr()
        given = ["--model", str(small_bundle), "--device", "cpu", "--no-cache", "--no-heatmaps", "--output", "out"]
        with warnings.catch_warnings(record=True) as warned, bounded:
            warnings.simplefilter("always")
            status = main(["predict", *given, *options, "--", str(path)])
        said = capfd.readouterr()
        assert [str(one.message) for one in warned] == []
        written = [file for file in Path("out").rglob("*") if file.is_file()]
        content = "".join(file.read_text("utf-8") for file in written)
        for word in (SECRET, "Traceback", str(tmp_path), str(small_bundle)):
            assert word not in said.out + said.err + content
        made = {name for name in snapshot(tmp_path) if name not in before}
        assert all(Path(name).is_relative_to(tmp_path / "out") for name in made)
        if status:
            assert status == 2, said.err
            assert written == []
            assert said.err.startswith("temporal-glioma-risk: ")
            assert said.err.count("\n") == 1
            return status, said.err
        assert said.err == ""
        record = read_risk_record(Path("out") / "risk.json")
        assert all(0 <= visit.risk <= 1 for visit in record.visits)
        warned_of = [*record.warnings, *(one for visit in record.visits for one in visit.warnings)]
        return status, " ".join(one.message for one in warned_of)

    return run


ACCEPTED = (
    ("test_nifti_files", "gzip_in_two_members"),
    ("test_nifti_files", "big_endian"),
    ("test_nifti_files", "extension_larger_than_the_file"),
    ("test_nifti_files", "metres_in_a_header_that_says_so"),
    ("test_nifti_files", "forms_that_disagree"),
    ("test_nifti_files", "quaternion_of_nan_beside_a_right_matrix"),
    ("test_nifti_files", "slope_nan"),
    ("test_nifti_files", "negative_slope"),
    ("test_nifti_files", "noise"),
    ("test_nifti_files", "faint_voxels"),
    ("test_nifti_files", "strong_voxels"),
    ("test_nifti_files", "text_fields_full_of_control_characters"),
    ("test_other_images", "nrrd_with_key_value_pairs_that_name_the_patient"),
    ("test_other_images", "mha_with_an_absurd_size_of_its_zipped_voxels"),
    ("test_tables", "windows_code_page"),
    ("test_tables", "a_formula_as_patient"),
    ("test_dicom_folders", "every_second_slice_missing"),
    ("test_dicom_folders", "instance_numbers_all_the_same"),
    ("test_dicom_folders", "identifiers_that_are_paths"),
)
"""What ``check`` reads, with a warning or without: one of every kind."""


UNALIGNABLE = ("noise",)
"""They have nothing by which they could be laid on the first visit."""


@pytest.mark.parametrize(("file", "name"), ACCEPTED, ids=[name for _, name in ACCEPTED])
def test_what_check_reads_ends_in_one_sentence_or_a_whole_result(file: str, name: str, work, predicted) -> None:
    expected = built(file, name, work)
    status, said = predicted(expected.path, *expected.options)
    if expected.outcome == "warned":
        assert status == 2 or expected.words in said
    if name in UNALIGNABLE:
        assert status == 2
        assert "register" in said
    else:
        assert status == 0


def brain(millilitres: float = ADULT_ML, shift_mm: float = 0.0) -> np.ndarray:
    """Voxels of an ellipsoid in the middle of the first visit's head, or beside it."""
    grid = head(1).geometry
    ijk = np.stack(np.meshgrid(*[np.arange(length) for length in grid.shape], indexing="ij"), -1)
    ras = grid.to_ras(ijk) - grid.to_ras((np.array(grid.shape) - 1) / 2) + [shift_mm, 0.0, 0.0]
    radius = (millilitres * 1000 / (4 / 3 * np.pi * 0.8 * 1.0 * 0.9)) ** (1 / 3)
    return (np.linalg.norm(ras / (radius * np.array([0.8, 1.0, 0.9])), axis=-1) < 1).astype("u1")


def a_mask(name: str) -> tuple[str, bytes, str | None]:
    """Suffix, bytes, and what must be said of it; None where it is good."""
    grid = head(1)
    right = nifti(grid, voxels=brain())
    two = brain(400.0, 46.0) | brain(400.0, -50.0)
    far = grid.geometry.ijk_to_ras.copy()
    far[:3, 3] += 500.0
    far_away = {"srow": far[:3].ravel().tolist()}
    nan = brain().astype("f4")
    nan[3, 3, 3] = np.nan
    return {
        "right": (".nii", right, None),
        "of_booleans_in_64_bits_zipped": (".nii.gz", squeezed(nifti(grid, voxels=brain().astype("f8"))), None),
        "empty_file": (".nii", b"", "cut short"),
        "cut_short": (".nii.gz", squeezed(right)[:-40], "cut short"),
        "text": (".nii", b"SECRETNAME, 2012-01-01\n" * 40, "not a NIfTI header"),
        "of_a_million_million_voxels": (".nii", nifti(grid, dim=(3, 10000, 10000, 10000, 1, 1, 1, 1)), "more than the"),
        "time_series": (".nii", nifti(grid, dim=(4, 44, 52, 20, 2, 1, 1, 1)), "4 dimensions, wanted 3"),
        "sheared": (".nii", nifti(grid, voxels=brain(), srow=[4, 1, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0]), "sheared"),
        "of_nothing": (".nii", nifti(grid, voxels=brain() * 0), "holds 0 mL"),
        "of_everything": (".nii", nifti(grid, voxels=brain() * 0 + 1), "a brain holds 300 to 2200 mL"),
        "with_a_voxel_nan": (".nii", nifti(grid, voxels=nan), "NaN or infinite"),
        "in_two_pieces": (".nii", nifti(grid, voxels=two), "must be one piece"),
        "far_from_the_head": (
            ".nii",
            nifti(grid, voxels=brain(), **far_away),
            "0 % lies on the head",
        ),
    }[name]


MASKS = (
    "right", "of_booleans_in_64_bits_zipped", "empty_file", "cut_short", "text", "of_a_million_million_voxels",
    "time_series", "sheared", "of_nothing", "of_everything", "with_a_voxel_nan", "in_two_pieces", "far_from_the_head",
)  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_used_or_refused_in_one_sentence(name: str, work: Workshop, predicted) -> None:
    suffix, content, words = a_mask(name)
    mask = work.write(f"{SECRET}_mask{suffix}", content)
    status, said = predicted(work.patient(), "--mask", str(mask), "--register", "never")
    assert status == (0 if words is None else 2)
    assert (words or "") in said


@pytest.mark.parametrize("name", ["missing", "a folder", "a device", "a circle of links", "no text"])
def test_a_mask_that_is_no_file_is_refused_in_one_sentence(name: str, work: Workshop, predicted) -> None:
    mask = work.folder / "mask.nii"
    if name == "a folder":
        mask.mkdir()
    elif name == "a device":
        mask = Path("/dev/zero")
    elif name == "a circle of links":
        mask.symlink_to(mask)
    elif name == "no text":
        mask = Path(os.fsdecode(os.fsencode(work.folder / "mask ") + b"\xff.nii"))
        mask.write_bytes(nifti(head(1), voxels=brain()))
    status, said = predicted(work.patient(), "--mask", str(mask))
    assert status == 2
    assert "brain mask" in said
    assert "/dev" not in said


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    cache = tmp_path_factory.mktemp("cache")
    environment = {**os.environ, "TEMPORAL_GLIOMA_RISK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    with WorkerClient(environment=environment) as client:
        client.start()
        yield client


def test_the_worker_answers_each_in_one_sentence_or_a_result_and_lives_on(
    worker: WorkerClient, small_bundle: Path, tmp_path: Path
) -> None:
    told = []
    for number, (file, name) in enumerate(
        (
            ("test_nifti_files", "bomb_that_keeps_its_word"),
            ("test_nifti_files", "big_endian_header_and_little_endian_voxels"),
            ("test_other_images", "mha_of_99999_axes"),
            ("test_tables", "formulas_as_paths"),
            ("test_dicom_folders", "jpeg_2000_of_rubbish"),
            ("test_dicom_folders", "slope_of_0"),
            ("test_nifti_files", "forms_that_disagree"),
        )
    ):
        work = Workshop(folder=tmp_path / f"{number} {SECRET}")
        work.folder.mkdir()
        expected = built(file, name, work)
        output = tmp_path / "out" / str(number)
        request = worker.predict(expected.path, output, model=small_bundle, device="cpu", heatmaps=False)
        answer = worker.wait(request, timeout_s=120.0)
        told.append(answer["type"])
        words = json.dumps({key: value for key, value in answer.items() if key != "output"}, ensure_ascii=False)
        assert SECRET not in words
        assert "Traceback" not in words
        assert (answer["type"] == "result") == (output / "risk.json").exists()
        if answer["type"] == "error":
            assert answer["kind"] == "input", name
            assert "/tmp" not in words
            assert expected.words in answer["message"]
    assert told == ["error"] * 6 + ["result"]
