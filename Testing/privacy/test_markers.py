"""Markers planted in every field that can name a patient or a day, and looked for in every byte that comes out."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from PIL import Image

from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.volume import Volume

STEM = "qzkj"
"""Every text marker begins with it; it stands in no file of ours."""
UID = "1.2.826.0.1.77331199"
BIRTH = "19790809"
VISITS = ("19870613", "19871102")
OTHER_DAYS = ("19870614", "19870615", "19871103", "19871104")


def forms_of(day: str) -> list[str]:
    """A day as people and programs write it."""
    year, month, date = day[:4], day[4:6], day[6:]
    return [
        day, f"{year}-{month}-{date}", f"{year}.{month}.{date}", f"{year}/{month}/{date}", f"{date}.{month}.{year}",
        f"{date}/{month}/{year}", f"{month}/{date}/{year}", f"{date}{month}{year}",
    ]  # fmt: skip


CLOCK = "031415.926"
MARKERS = [STEM, UID, CLOCK, *(form for day in (BIRTH, *VISITS, *OTHER_DAYS) for form in forms_of(day))]

TEXTS = ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "UR", "CS", "AE", "AS", "TM", "DA", "DT", "UI")
"""Value representations that hold text, a day or an identifier."""
READ_AS_THEY_ARE = frozenset(
    (
        *("SpecificCharacterSet", "Modality", "ImageType", "PhotometricInterpretation", "SOPClassUID"),
        *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StudyDate"),
        *("SeriesDescription", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"),
    )
)
"""Elements by which a series is told, planted below where they can be, or by which it would be another picture."""
IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class Input:
    """Planted input: what to give the commands, and its brain mask."""

    path: Path
    mask: Path


@pytest.fixture(scope="module")
def volumes(simulated_patient: Path) -> list[Volume]:
    """The first two visits of the simulated patient."""
    name = simulated_patient.name
    paths = [simulated_patient / f"ses-0{visit}/anat/{name}_ses-0{visit}_T2w.nii.gz" for visit in (1, 2)]
    return [VolumeFile(path=path, role="a test").read() for path in paths]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name is a marker."""
    return tmp_path_factory.mktemp("in") / f"{STEM}01 Surname, Given {BIRTH}"


@pytest.fixture(scope="module")
def mask(simulated_patient: Path, place: Path) -> Path:
    """The brain mask, under a name that is a marker."""
    name = simulated_patient.name
    truth = simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz"
    path = place.parent / f"{STEM}02_{BIRTH}_mask.nii.gz"
    path.write_bytes(truth.read_bytes())
    return path


def marked_nifti(volume: Volume, name: str) -> bytes:
    """A NIfTI file with a marker in every text field and in an extension."""
    from TemporalGliomaRisk.timeline.sitk_images import write_nifti  # noqa: PLC0415

    path = Path(name)
    write_nifti(volume, path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    path.unlink()
    for at, length, marker in (
        (4, 10, f"{STEM}10"),
        (14, 18, f"{STEM}11 {VISITS[0]}"),
        (148, 80, f"{STEM}12 {BIRTH} {VISITS[0]}"),
        (228, 24, f"{STEM}13 {VISITS[1]}"),
        (328, 16, f"{STEM}14"),
    ):
        content[at : at + length] = marker.encode().ljust(length, b"\0")
    note = f"{STEM}15 {BIRTH}".encode().ljust(56, b"\0")
    content[108:112] = struct.pack("<f", 352 + 64)
    content[348:352] = b"\1\0\0\0"
    whole = bytes(content[:352]) + struct.pack("<2i", 64, 6) + note + bytes(content[352:])
    buffer = io.BytesIO()
    with gzip.GzipFile(f"{STEM}16_{VISITS[0]}.nii", "wb", 1, buffer, mtime=0) as handle:
        handle.write(whole)
    return buffer.getvalue()


def marker_of(representation: str, number: int, day: str) -> str:
    """A marker that its value representation allows, as far as one does."""
    if representation in ("DA", "DT", "TM", "UI"):
        return {"DA": day, "DT": f"{day}{CLOCK}", "TM": CLOCK, "UI": f"{UID}.8.{number}"}[representation]
    if representation == "AS":
        return STEM
    text = f"{STEM}{number:05d}"
    return text.upper() if representation in ("CS", "AE") else text


def every_field(day: str) -> pydicom.Dataset:
    """Every element of the standard that holds text, a day, an identifier or a sequence, a marker in each."""
    dataset = pydicom.Dataset()
    known = pydicom.datadict.DicomDictionary
    for number, (tag, (representation, _, _, _, keyword)) in enumerate(sorted(known.items())):
        if tag >> 16 in (0, 2, 4, 0xFFFE) or keyword in READ_AS_THEY_ARE or not keyword:
            continue
        if representation == "SQ":
            value: object = [inner(number, day, depth=1 + number % 3)]
        elif representation in TEXTS:
            value = BIRTH if keyword == "PatientBirthDate" else marker_of(representation, number, day)
        else:
            continue
        dataset.add(pydicom.DataElement(tag, representation, value))
    for group in (0x0009, 0x0029, 0x2005):
        block = dataset.private_block(group, f"{STEM} MAKER", create=True)
        for place, representation in enumerate((*TEXTS[:-1], "UI"), start=1):
            block.add_new(place, representation, marker_of(representation, place, day))
        block.add_new(0x40, "UN", f"{STEM}06 {day}".encode())
        block.add_new(0x41, "SQ", [inner(7, day, depth=2)])
        block.add_new(0x42, "OB", f"{STEM}06 {day}".encode().ljust(32, b"\0"))
    return dataset


def inner(number: int, day: str, *, depth: int) -> pydicom.Dataset:
    """An item of a sequence, with sequences inside."""
    dataset = pydicom.Dataset()
    dataset.PatientName, dataset.PatientComments = f"{STEM}{number:05d}", f"{STEM}{number:05d} born {BIRTH}"
    dataset.RequestedProcedureID, dataset.ScheduledProcedureStepStartDate = f"{STEM}{number:05d}", day
    block = dataset.private_block(0x0011, f"{STEM} MAKER", create=True)
    block.add_new(1, "LO", f"{STEM}{number:05d}")
    if depth > 1:
        dataset.RequestAttributesSequence = [inner(number, day, depth=depth - 1)]
    return dataset


@pytest.fixture(scope="module")
def dicom(volumes: list[Volume], place: Path, mask: Path, write_dicom_series) -> Input:
    """Two studies with a marker in every text, date, identifier and private element, and in sequences of items.

    Every one of the standard's elements stands in the first series' first file and the second's last, those of the
    patient in all.
    """
    folder = place / "dicom"
    with checked_not_at_all():
        for visit, (volume, day) in enumerate(zip(volumes, VISITS, strict=True)):
            paths = write_dicom_series(volume, folder / f"{STEM}03_{day}", date=day, description=f"T2 TSE {STEM}04")
            whole = every_field(OTHER_DAYS[2 * visit])
            few = pydicom.Dataset()
            few.update({one.tag: one for one in whole if one.tag.group in (0x0009, 0x0010) and one.VR != "SQ"})
            uids = {name: f"{UID}.{visit}.{number}" for number, name in enumerate(IDENTIFIERS)}
            for number, path in enumerate(paths):
                dataset = pydicom.dcmread(path)
                dataset.update(whole if path == (paths[0], paths[-1])[visit] else few)
                dataset.AcquisitionDate = OTHER_DAYS[2 * visit + 1]
                for name, uid in uids.items():
                    setattr(dataset, name, uid)
                dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{UID}.9.{visit}.{number}"
                dataset.preamble = f"{STEM}07".encode().ljust(128, b"\0")
                dataset.save_as(path.with_name(f"{STEM}08_{number:03d}_{BIRTH}.dcm"), enforce_file_format=True)
                path.unlink()
    (folder / f"{STEM}09.txt").write_text(f"{STEM} notes")
    return Input(path=folder, mask=mask)


@contextlib.contextmanager
def checked_not_at_all() -> Iterator[None]:
    """While inside, pydicom takes any text for any element, as scanners do."""
    settings = pydicom.config.settings
    before = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        yield
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode = before


@pytest.fixture(scope="module")
def bids(volumes: list[Volume], place: Path, mask: Path) -> Input:
    """BIDS with a name in the patient's folder, dates in the sessions' labels, and markers in tables and sidecars."""
    folder = place / f"sub-{STEM}20 Surname"
    lines = ["session_id\tacq_time\tcomment"]
    for volume, day in zip(volumes, VISITS, strict=True):
        anat = folder / f"ses-{day}" / "anat"
        anat.mkdir(parents=True)
        name = f"{folder.name}_ses-{day}_T2w"
        (anat / f"{name}.nii.gz").write_bytes(marked_nifti(volume, f"{anat}/x.nii.gz"))
        sidecar = {"PatientName": f"{STEM}21", "AcquisitionDateTime": forms_of(day)[1], "InstitutionName": f"{STEM}22"}
        (anat / f"{name}.json").write_text(json.dumps(sidecar))
        lines.append(f"ses-{day}\t{forms_of(day)[1]}T10:11:12\t{STEM}23 born {BIRTH}")
    (folder / f"{folder.name}_sessions.tsv").write_text("\n".join(lines) + "\n")
    (place / "participants.tsv").write_text(f"participant_id\tname\n{folder.name}\t{STEM}24\n")
    return Input(path=folder, mask=mask)


@pytest.fixture(scope="module")
def dated(volumes: list[Volume], place: Path, mask: Path) -> Input:
    """Dated files."""
    folder = place / "dated"
    folder.mkdir(parents=True)
    for volume, day in zip(volumes, VISITS, strict=True):
        content = marked_nifti(volume, f"{folder}/x.nii.gz")
        (folder / f"{STEM}25 Surname-Given_{day}_T2w.nii.gz").write_bytes(content)
    return Input(path=folder, mask=mask)


@pytest.fixture(scope="module")
def table(dated: Input, place: Path, mask: Path) -> Input:
    """A table whose every column names the patient or a day."""
    rows = [f"path,sequence,date,patient,{STEM}26"]
    for day in VISITS:
        rows.append(f"dated/{STEM}25 Surname-Given_{day}_T2w.nii.gz,T2w,{forms_of(day)[1]},{STEM}27,=cmd {STEM}28")
    (place / f"{STEM}29.csv").write_text("\n".join(rows) + "\n")
    return Input(path=place / f"{STEM}29.csv", mask=mask)


# What came out


def contents(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and all that is packed inside: zip, gzip, pictures' texts, pictures in pages."""
    yield name, content
    if content[:2] == b"\x1f\x8b":
        yield from contents(f"{name}>gz", gzip.decompress(content))
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield f"{name}>{member}", member.encode()
                yield from contents(f"{name}>{member}", archive.read(member))
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        image = Image.open(io.BytesIO(content))
        image.load()
        yield f"{name}>text", json.dumps({key: str(value) for key, value in image.info.items()}).encode()
        for chunk in re.finditer(rb"(zTXt|iTXt)([^\0]*)\0", content):
            yield f"{name}>chunk", content[chunk.start() : chunk.start() + 2000]
    for number, found in enumerate(re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)):
        yield f"{name}>data {number}", base64.b64decode(found)


def found_in(folder: Path) -> list[tuple[str, str]]:
    """(where, marker) for every marker in a file's name or bytes, packed ones opened; either UTF."""
    leaks = []
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        leaks += [(f"name of {where}", marker) for marker in MARKERS if marker in where.lower()]
        if path.is_file():
            for inside, content in contents(where, path.read_bytes()):
                low = content.lower()
                leaks += [
                    (inside, marker)
                    for marker in MARKERS
                    if marker.encode() in low or marker.encode("utf-16-le") in low
                ]
    return leaks


def spoken_in(*texts: str) -> list[str]:
    return [marker for text in texts for marker in MARKERS if marker in text.lower()]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEMPORAL_GLIOMA_RISK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


FORMS = ("dicom", "bids", "dated", "table")


@pytest.fixture(params=FORMS)
def planted(request: pytest.FixtureRequest) -> Input:
    return request.getfixturevalue(request.param)


def options(given: Input, bundle: Path, output: Path) -> list[str]:
    return ["--output", str(output), "--model", str(bundle), "--mask", str(given.mask), "--register", "never"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_check_says_nothing_of_the_patient_or_the_day(
    planted: Input, form: list[str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(0):
        warnings.simplefilter("always")
        status = main(["check", str(planted.path), *form])
    said = capfd.readouterr()
    assert status == 0, said.err
    assert spoken_in(said.out, said.err, caplog.text, *(str(one.message) for one in warned)) == []


def test_predict_writes_and_says_nothing_of_the_patient_or_the_day(
    planted: Input,
    small_bundle: Path,
    cache: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(0):
        warnings.simplefilter("always")
        status = main(
            ["predict", str(planted.path), *options(planted, small_bundle, tmp_path / "out"), "--progress", "json"]
        )
    said = capfd.readouterr()
    assert status == 0, said.err
    assert spoken_in(said.out, said.err, caplog.text, *(str(one.message) for one in warned)) == []
    assert found_in(tmp_path) == []
    assert list(cache.glob("*.safetensors"))
    visits = json.loads((tmp_path / "out" / "risk.json").read_text())["visits"]
    assert [visit["days_since_first"] for visit in visits] == [0, 142]
    assert [visit["session_id"] for visit in visits] == ["ses-01", "ses-02"]


def test_identified_writes_the_names_so_that_the_search_is_known_to_find_them(
    dated: Input, small_bundle: Path, cache: Path, tmp_path: Path
) -> None:
    given = [*options(dated, small_bundle, tmp_path / "out"), "--identified", "--no-heatmaps"]
    assert main(["predict", str(dated.path), *given]) == 0
    leaks = found_in(tmp_path / "out")
    assert ("report.html", STEM) in leaks
    assert ("risk.json", VISITS[0]) in leaks
    assert found_in(cache) == []


def test_a_scene_holds_nothing_of_the_patient_or_the_day(
    dicom: Input, small_bundle: Path, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [*options(dicom, small_bundle, tmp_path / "out"), "--scene", "--no-heatmaps"]
    assert main(["predict", str(dicom.path), *given]) == 0
    said = capfd.readouterr()
    assert spoken_in(said.out, said.err) == []
    assert (tmp_path / "out" / "scene.mrb").is_file()
    assert found_in(tmp_path) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize("kind", ["cut", "gone", "wrong patient", "wrong mask", "two patients", "model", "our fault"])
def test_failures_say_nothing_of_the_patient_or_the_day(
    kind: str,
    dated: Input,
    small_bundle: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / f"{STEM} {BIRTH}"
    folder.mkdir()
    for path in dated.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    arguments = ["predict", str(folder), *options(dated, small_bundle, tmp_path / "out")]
    last = max(folder.iterdir())
    if kind == "cut":
        cut(last)
    elif kind == "gone":
        last.unlink()
        last.symlink_to(f"{STEM}.nii.gz")
    elif kind == "wrong patient":
        arguments += ["--patient", f"{STEM}99"]
    elif kind == "wrong mask":
        arguments[arguments.index("--mask") + 1] = f"{folder}/{STEM}.nii.gz"
    elif kind == "two patients":
        last.rename(folder / f"{STEM}other_{VISITS[1]}_T2w.nii.gz")
    elif kind == "model":
        arguments[arguments.index("--model") + 1] = str(folder)
    else:

        def fail(*given: object, **named: object) -> None:
            raise OSError(5, "Input/output error", f"/data/{STEM}/{BIRTH}.nii.gz")

        monkeypatch.setattr("TemporalGliomaRisk.visit_encoding.prepare_first_visit", fail)
    status = main(arguments)
    said = capfd.readouterr()
    assert status == (1 if kind == "our fault" else 2), said.err
    assert said.err.count("\n") == 1
    assert spoken_in(said.out, said.err) == []
    assert not (tmp_path / "out").exists()


def test_usage_errors_repeat_no_path(dated: Input, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(dated.path), str(dated.path / "more")]) == 2
    assert spoken_in(capfd.readouterr().err) == []


def test_dates_and_names_of_the_markers_are_what_the_input_holds(dicom: Input) -> None:
    """The search would be worth nothing if the input lacked what it looks for."""
    with checked_not_at_all():
        dataset = pydicom.dcmread(min(path for path in dicom.path.rglob("*.dcm")))
    assert str(dataset.PatientName).startswith(STEM)
    assert (dataset.PatientBirthDate, dataset.StudyDate) == (BIRTH, VISITS[0])
    assert dataset.SOPInstanceUID.startswith(UID)
    known = {row[4]: row[0] for row in pydicom.datadict.DicomDictionary.values()}
    planted = [name for name in known if name in dataset]
    assert {known[name] for name in planted} >= {*TEXTS, "SQ"}
    assert len(planted) > 3000
    assert {"PatientAddress", "StationName", "RequestAttributesSequence", "DeviceSerialNumber"} <= set(planted)
