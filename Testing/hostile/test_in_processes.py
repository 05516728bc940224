"""Some of the cases once more, each in a process of its own with bounded memory and time: as a user would meet them."""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_workshop import SECRET, Workshop

ADDRESS_SPACE_BYTES = 4_000_000_000
SECONDS = 60

CASES = (
    ("test_nifti_files", "bomb_that_keeps_its_word"),
    ("test_nifti_files", "bomb_behind_the_voxels"),
    ("test_nifti_files", "metres_in_a_header_that_says_millimetres"),
    ("test_other_images", "mha_of_99999_axes"),
    ("test_tables", "100_000_rows"),
    ("test_bids_folders", "a_name_that_is_no_text"),
    ("test_dicom_folders", "deflated_bomb"),
    ("test_dicom_folders", "jpeg_2000_of_rubbish"),
    ("test_dicom_folders", "names_in_unknown_character_sets"),
)


@pytest.mark.parametrize(("file", "name"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_process_ends_with_its_status_one_line_and_bounded_memory(file: str, name: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(file, Path(__file__).with_name(f"{file}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    work = Workshop(folder=tmp_path / SECRET)
    work.folder.mkdir()
    expected = getattr(module, f"case_{name}")(work)
    finished = subprocess.run(
        [sys.executable, "-m", "TemporalGliomaRisk", "check", "--no-alignment", str(expected.path)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)),
    )
    assert finished.returncode == (2 if expected.outcome == "refused" else 0), finished.stderr
    assert finished.stderr.count("\n") == (1 if expected.outcome == "refused" else 0), finished.stderr
    assert SECRET not in finished.stdout + finished.stderr
