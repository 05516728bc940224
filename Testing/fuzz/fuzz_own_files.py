"""Readers of files that this program wrote itself, and that anybody may have changed since, as functions of bytes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from TemporalGliomaRisk.errors import InputError

SECRET = "SECRETNAME"
"""Stands for a patient's name in the seeds."""
TRAINING_FILES = (
    "run.json",
    "pretrain/final.safetensors",
    "prepared/sub-01/patient.json",
    "prepared/sub-01/brain.npy",
    "prepared/sub-01/volumes.npy",
    "prepared/preprocessing.json",
    "features/settings.json",
    "features/sub-01.safetensors",
    "heads/begun_from.json",
    "reference/settings.json",
    "reference/calibration.json",
)
"""What is read of a training run, beside heads, which are checkpoints."""
CACHE_KEY = "0" * 64


@contextlib.contextmanager
def refused_in_one_sentence(folder: Path) -> Iterator[None]:
    """Let a reader take what it is given, or refuse it as promised.

    Raises:
        AssertionError: If the refusal is no single line of text, or names a path or a patient.
        Exception: Whatever the reader lets out: a find.
    """
    try:
        yield
    except InputError as error:
        message = str(error)
        if "\n" in message or str(folder) in message or SECRET in message or not message.isprintable():
            raise AssertionError("A refusal is one line of text without a path or a name.") from error
        if len(message) > 2000:
            raise AssertionError("A refusal is no essay.") from error


def read_result(folder: Path, content: bytes) -> None:
    """``risk.json`` and ``audit.json``, as the command line and as hosts read them; a heatmap is there."""
    from TemporalGliomaRisk.report.audit import read_audit_record  # noqa: PLC0415
    from TemporalGliomaRisk.report.record import read_risk_record  # noqa: PLC0415
    from TemporalGliomaRisk.scene.result import RiskResult  # noqa: PLC0415

    (folder / "heatmaps").mkdir(exist_ok=True)
    (folder / "heatmaps" / "a.nii.gz").touch()
    right = {name: path for name, path in zip(("risk.json", "audit.json"), _results(), strict=True)}
    for name, read in (("risk.json", read_risk_record), ("audit.json", read_audit_record)):
        for other, whole in right.items():
            (folder / other).write_bytes(content if other == name else whole)
        with refused_in_one_sentence(folder):
            read(folder / name)
        with refused_in_one_sentence(folder):
            RiskResult.read(folder)


def _results() -> Iterator[bytes]:
    visit = {
        "session_id": "ses-01", "days_since_first": 0, "days_since_treatment": None, "sequences": ["FLAIR"],
        "reference_sequence": "FLAIR", "risk": 0.0, "risk_low": None, "risk_high": None, "single_visit_risk": 0.1,
        "hazards": [0.0, 0.0, 0.0, 0.0], "background_hazard": 0.0, "outside_field_of_view_hazard": None,
        "heatmap": "heatmaps/a.nii.gz", "change_heatmap": None, "measurements": [],
        "peaks": [{"name": "A", "ras_mm": [1, 2, 3], "share_of_hazard": 0.5, "hazard_per_mL": 0.1}],
        "warnings": [{"code": "a", "message": "b", "severity": "note"}],
    }  # fmt: skip
    yield json.dumps(
        {
            "schema_version": "1.0", "patient": "sub-01", "horizon_days": 365, "research_use_only": "x",
            "model": {"name": "m", "sha256": "0" * 64, "version": "1", "caveat": "c"}, "visits": [visit],
            "intervals_days": [[0, 90], [90, 180], [180, 365], [365, 730]], "warnings": [],
        }
    ).encode()  # fmt: skip
    yield json.dumps(
        {
            "schema_version": "1.0", "research_use_only": "x", "patient": "sub-01", "device": "cpu", "seed": None,
            "inputs": {"sub-01_ses-01_FLAIR": ["0" * 64]}, "versions": {"python": "3"}, "platform": "x", "model": "m",
            "options": {}, "preprocessing": {}, "model_files": {"a": "0" * 64}, "timings_s": {"a": 1.0},
            "findings": [], "alignments": [],
        }
    ).encode()  # fmt: skip


def read_truth(folder: Path, content: bytes) -> None:
    """A simulated patient's ``truth.json``, with what preparing and scoring make of it."""
    from TemporalGliomaRisk.evaluate.known_groups import KnownPatient, known_groupings  # noqa: PLC0415
    from TemporalGliomaRisk.learn.cohort import read_cohort  # noqa: PLC0415
    from TemporalGliomaRisk.learn.cohort_facts import simulated_cohorts  # noqa: PLC0415
    from TemporalGliomaRisk.learn.true_growth import borders_grew  # noqa: PLC0415

    cohort = folder / "cohort"
    for place in (cohort / "sub-01", cohort / "truth" / "sub-01"):
        place.mkdir(parents=True, exist_ok=True)
    (cohort / "participants.tsv").write_text(_PARTICIPANTS, encoding="utf-8")
    (cohort / "truth" / "sub-01" / "truth.json").write_bytes(content)
    (patient,) = read_cohort(cohort)
    simulated_cohorts([patient.truth_record()])
    truth = patient.truth_record(visits=2)
    json.dumps(truth)
    borders_grew(*(visit["lesion_diameters_mm"] for visit in truth["visits"][:2]))
    known_groupings([KnownPatient(participant={}, truth=truth)], [0, 0], [1, 2], [("FLAIR",), ("FLAIR",)])


_PARTICIPANTS = "participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t485\n"


def _truths() -> Iterator[bytes]:
    visits = [
        {
            "session_id": f"ses-0{number}", "days_since_first": 80 * number - 80, "days_since_treatment": 11,
            "sequences": ["FLAIR"], "treatment_effect_diameter_mm": 0.0,
            "files": {"FLAIR": {"slice_thickness_mm": 3.68, "snr": 26.7, "artefacts": ["ghost"]}},
            "lesion_diameter_mm": 27.9, "lesion_diameters_mm": {"residual": 27.9, "margin": 0.0},
            "cavity_centre_ras_mm": [-23.4, 50.9, -25.7],
        }
        for number in (1, 2)
    ]  # fmt: skip
    record = {
        "participant": {"participant_id": SECRET}, "simulator_version": 1, "seed": 4, "patient_number": 3,
        "config": {"recurrent_fraction": 0.4, "extent_hazard_ratios": False, "sequences": ["FLAIR"]},
        "fate": "recurrent", "event_day": 485, "event_observed": True, "event_day_at_visit": 566,
        "follow_up_days": 485, "extent_of_resection": "subtotal", "distractors": ["treatment_effect"],
        "parameters": {"age_years": 7.4, "high_grade": False, "growth_law": "reaction_diffusion"}, "visits": visits,
    }  # fmt: skip
    yield json.dumps(record).encode()
    yield json.dumps({**record, "fate": "stable", "event_day": None, "event_day_at_visit": None}).encode()


def read_model(folder: Path, content: bytes) -> None:
    """A model bundle: the first byte says which file the others are; hashes are made right."""
    from TemporalGliomaRisk import bundle  # noqa: PLC0415

    place = folder / "model"
    name = _model_files()[content[0] % len(_model_files())] if content else bundle.SUMS
    files = {**_files(_bundle()), name: content[1:]}
    if name != bundle.SUMS:
        whole = {path: one for path, one in files.items() if path != bundle.SUMS}
        lines = [f"{hashlib.sha256(one).hexdigest()}  {path}\n" for path, one in whole.items()]
        files[bundle.SUMS] = "".join(lines).encode()
    _write(files, place)
    model = bundle.load_bundle(place)
    bundle.load_pretrained(model)


@functools.cache
def _files(folder: Path) -> dict[str, bytes]:
    """The files below a folder by their paths inside it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _write(files: dict[str, bytes], place: Path) -> None:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def _model_files() -> tuple[str, ...]:
    """The bundle's files; finds name them by their place, so further ones come last."""
    from TemporalGliomaRisk import bundle  # noqa: PLC0415

    first = (bundle.WEIGHTS, bundle.INFERENCE, bundle.METADATA, bundle.CALIBRATION, bundle.SUMS)
    return (*first, bundle.DOUBT, bundle.DOUBT_TENSORS, bundle.SANITY, bundle.ORDER, bundle.PRETRAINED, bundle.CARD)


@functools.cache
def _bundle() -> Path:
    """A very small model, with all that a bundle may hold, in a folder that stays."""
    import torch  # noqa: PLC0415

    from TemporalGliomaRisk.bundle import write_bundle  # noqa: PLC0415
    from TemporalGliomaRisk.encode.evidence import EvidenceModel  # noqa: PLC0415
    from TemporalGliomaRisk.encode.pairs import OrderHead, PairModel  # noqa: PLC0415
    from TemporalGliomaRisk.encode.summary import change_length, summary_length  # noqa: PLC0415
    from TemporalGliomaRisk.explain.sanity import HeatmapSanity, StageSanity  # noqa: PLC0415
    from TemporalGliomaRisk.preprocess.config import PreprocessConfig  # noqa: PLC0415
    from TemporalGliomaRisk.risk.calibration import Calibration  # noqa: PLC0415
    from TemporalGliomaRisk.risk.doubt import Doubt, Usual  # noqa: PLC0415

    torch.manual_seed(1)
    config = _config()
    usual = [
        Usual(
            centre=torch.zeros(4, length),
            whitening=torch.eye(length).repeat(4, 1, 1),
            level=torch.tensor([[0.0, 1.0]] * 4),
            known=torch.ones(4, dtype=torch.bool),
        )
        for length in (summary_length(config.feature_channels), change_length(config.feature_channels))
    ]
    stage = StageSanity(
        randomised="heads", correlation=0.1, correlation_low=0.0, correlation_high=0.2, top_overlap=0.01
    )
    folder = Path(tempfile.mkdtemp(prefix="fuzz-bundle-")) / "small"
    one = Calibration(background_scale=1.0, local_scale=1.0)
    write_bundle(
        folder,
        network=EvidenceModel(config, members=1),
        preprocessing=PreprocessConfig(),
        calibration=one,
        single_visit_calibration=one,
        metadata={"name": "small", "caveat": "none", "trained_gaps_days": [1, 2]},
        card="# small\n",
        licence="Apache-2.0\n",
        doubt=Doubt(
            appearance=usual[0],
            change=usual[1],
            unusual_above=3.0,
            at_odds_above=1.0,
            training_visits=9,
            validation_visits=8,
            validation_patients=7,
        ),
        heatmap_sanity=HeatmapSanity(
            stages=(stage,), members_correlation=0.9, members_top_overlap=0.5, visits=4, seeds=2
        ),
        order=OrderHead(config),
        pretrained=PairModel(config),
    )
    return folder


def _config():
    from TemporalGliomaRisk.encode.evidence import EvidenceConfig  # noqa: PLC0415

    return EvidenceConfig(feature_channels=2, convolutions=0, comparison_channels=2, history_channels=2)


def read_training(folder: Path, content: bytes) -> None:
    """A training run: the first byte says which of its files the others are."""
    from TemporalGliomaRisk.learn.cohort import CohortPatient  # noqa: PLC0415
    from TemporalGliomaRisk.learn.export import heads_begun_from  # noqa: PLC0415
    from TemporalGliomaRisk.learn.feature_store import cache_features, load_features  # noqa: PLC0415
    from TemporalGliomaRisk.learn.prepared_store import begin_preparing  # noqa: PLC0415
    from TemporalGliomaRisk.learn.run_folder import RunFolder  # noqa: PLC0415
    from TemporalGliomaRisk.learn.score_reference import load_reference  # noqa: PLC0415

    place = folder / "run"
    name = TRAINING_FILES[content[0] % len(TRAINING_FILES)] if content else TRAINING_FILES[0]
    _write({**_files(_training()), name: content[1:]}, place)
    run_folder = RunFolder.open(place)
    model = run_folder.pretrained()
    patient = CohortPatient(
        patient_id="sub-01", folder=place, truth=None, event_observed=False, follow_up_days=200.0, line=2
    )
    if name.startswith("prepared"):
        begin_preparing([patient], place / "prepared", run_folder.config.preprocessing)
        (stored,) = run_folder.prepared([patient], jobs=1)
        for visit in range(stored.visits):
            stored.visit_volumes(visit)
    elif name.startswith("features"):
        cache_features(model, [], place / "features", _sampling(), seed=1)
        found = load_features(place / "features", "sub-01")
        found.log_weights(1)
    elif name.startswith("heads"):
        (heads_begun_from(run_folder) or {}).get("name")
    elif name.startswith("reference"):
        load_reference(place / "reference")


def _sampling():
    from TemporalGliomaRisk.learn.feature_store import PlaceSampling  # noqa: PLC0415

    return PlaceSampling(foremost=2, sampled=3)


@functools.cache
def _training() -> Path:
    """A training run of one very small patient in a folder that stays, as its stages leave it."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    from TemporalGliomaRisk import config as configs  # noqa: PLC0415
    from TemporalGliomaRisk.encode.pairs import PairModel  # noqa: PLC0415
    from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel  # noqa: PLC0415
    from TemporalGliomaRisk.files import write_json_whole  # noqa: PLC0415
    from TemporalGliomaRisk.learn.checkpoints import Place, save_checkpoint  # noqa: PLC0415
    from TemporalGliomaRisk.learn.feature_store import FeatureSettings  # noqa: PLC0415
    from TemporalGliomaRisk.learn.finetune_reference import ReferenceTrainingConfig  # noqa: PLC0415
    from TemporalGliomaRisk.learn.run_folder import RunConfig  # noqa: PLC0415

    torch.manual_seed(1)
    place = Path(tempfile.mkdtemp(prefix="fuzz-run-")) / "run"
    for name in TRAINING_FILES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
    run_config = RunConfig(model=_config())
    write_json_whole(place / "run.json", configs.to_json(run_config))
    save_checkpoint(place / "pretrain/final.safetensors", PairModel(_config()), None, Place(updates=3, notes={}))
    shape = (4, 4, 4)
    facts = {
        "patient_id": "sub-01", "days_since_first": [0, 90], "days_since_treatment": [10, None],
        "present": [[True, False, False, False]] * 2, "event_observed": False, "follow_up_days": 200.0,
        "sessions_sha256": None, "truth": None, "cavity_centres_ijk": [None, [1.0, 2.0, 3.0]],
    }  # fmt: skip
    (place / "prepared/sub-01/patient.json").write_text(json.dumps(facts), encoding="utf-8")
    np.save(place / "prepared/sub-01/brain.npy", np.ones(shape, bool))
    np.save(place / "prepared/sub-01/volumes.npy", np.ones((2, *shape), np.float16))
    preprocessing = json.dumps(configs.to_json(run_config.preprocessing), sort_keys=True)
    (place / "prepared/preprocessing.json").write_text(preprocessing, encoding="utf-8")
    settings = FeatureSettings(sampling=_sampling(), seed=1, bfloat16=False)
    write_json_whole(place / "features/settings.json", configs.to_json(settings))
    features = {"features": torch.ones(2, 4, 5, 2, dtype=torch.float16), "counts": torch.tensor([2, 6])}
    save_file(features, str(place / "features/sub-01.safetensors"))
    write_json_whole(place / "heads/begun_from.json", {"name": "m", "sha256": "0" * 64, "cohorts_sha256": []})
    reference = ReferenceConfig(norm="group", first_stride=1, widen=0.0625, width=8, heads=2)
    write_json_whole(place / "reference/settings.json", configs.to_json(ReferenceTrainingConfig(model=reference)))
    save_checkpoint(place / "reference/final.safetensors", ReferenceModel(reference), None, Place(updates=0, notes={}))
    write_json_whole(place / "reference/calibration.json", {"scale": 1.0})
    return place


def read_checkpoint(folder: Path, content: bytes) -> None:
    """A checkpoint of training, with the optimizer's moments."""
    import torch  # noqa: PLC0415

    from TemporalGliomaRisk.learn.checkpoints import load_checkpoint  # noqa: PLC0415

    (folder / "checkpoint.safetensors").write_bytes(content)
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    place = load_checkpoint(folder / "checkpoint.safetensors", network, optimizer)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    range(place.updates, 10)
    place.notes.get("best")


def _checkpoints() -> Iterator[bytes]:
    import torch  # noqa: PLC0415

    from TemporalGliomaRisk.learn.checkpoints import Place, save_checkpoint  # noqa: PLC0415

    path = Path(tempfile.mkdtemp()) / "checkpoint.safetensors"
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    for kept in (optimizer, None):
        save_checkpoint(path, network, kept, Place(updates=5, notes={"best": 0.5}))
        yield path.read_bytes()


def read_cache(folder: Path, content: bytes) -> None:
    """An entry of the cache of visits: what was written, or nothing, and then the entry is gone.

    Its hash is no secret: what is forged with the right one is read (the fuzzer learns it from the comparison).
    """
    from TemporalGliomaRisk.visit_cache import VisitCache  # noqa: PLC0415

    cache = VisitCache(folder=folder)
    path = folder / f"{CACHE_KEY}.safetensors"
    path.write_bytes(content)
    entry = cache.load(CACHE_KEY)
    if entry is None and path.exists():
        raise AssertionError("An entry that cannot be read is removed.")
    if entry is not None:
        json.dumps(entry.facts)
        sum(array.nbytes for array in entry.arrays.values())


_FACTS, _FEATURES = {"visit": 1, "gain": 0.5}, [[1.0, 2.0], [3.0, 4.0]]


def _entries() -> Iterator[bytes]:
    import numpy as np  # noqa: PLC0415

    from TemporalGliomaRisk.visit_cache import CacheEntry, VisitCache  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp())
    arrays = {"features": np.array(_FEATURES, np.float16)}
    VisitCache(folder=folder).store(CACHE_KEY, CacheEntry(arrays=arrays, facts=_FACTS))
    yield (folder / f"{CACHE_KEY}.safetensors").read_bytes()


def read_message(folder: Path, content: bytes) -> None:
    """Lines from a host to the worker."""
    from TemporalGliomaRisk.worker.messages import REQUESTS, LineBuffer, MessageError, decode  # noqa: PLC0415
    from TemporalGliomaRisk.worker.requests import check_asked, predict_asked, register_asked  # noqa: PLC0415
    from TemporalGliomaRisk.worker.schema import check_request  # noqa: PLC0415

    for line in LineBuffer().feed(content + b"\n"):
        with refused_in_one_sentence(folder):
            try:
                message = decode(line, REQUESTS)
                check_request(message)
            except MessageError as error:
                raise InputError(str(error)) from error
            asked = {"predict": predict_asked, "register": register_asked, "check": check_asked}
            if message["type"] in asked:
                asked[message["type"]](message)


def _messages() -> Iterator[bytes]:
    head = {"protocol": 1, "id": "a"}
    row = {"path": f"/data/{SECRET}.nii", "sequence": "FLAIR", "days_since_treatment": 9}
    options = {"device": "cpu", "register": "never", "mask": "auto", "heatmaps": True}
    named = {"timeline": f"/{SECRET}", "options": {**options, "patient": SECRET}}
    yield json.dumps({**head, "type": "predict", "output": "/o", **named}).encode()
    yield json.dumps({**head, "type": "check", "table": [row, row], "options": {"model": None}}).encode()
    yield json.dumps({**head, "type": "register", "table": [row], "options": {"register": "auto"}}).encode()
    yield json.dumps({**head, "type": "cancel"}).encode() + b"\n" + json.dumps({**head, "type": "bye"}).encode()


def _numbered(folder: Path, names: tuple[str, ...]) -> Iterator[bytes]:
    for number, name in enumerate(names):
        yield bytes([number]) + (folder / name).read_bytes()


READERS: dict[str, Callable[[Path, bytes], None]] = {
    "result": read_result,
    "model": read_model,
    "truth": read_truth,
    "training": read_training,
    "checkpoint": read_checkpoint,
    "cache": read_cache,
    "message": read_message,
}
SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "result": _results,
    "model": lambda: _numbered(_bundle(), _model_files()),
    "truth": _truths,
    "training": lambda: _numbered(_training(), TRAINING_FILES),
    "checkpoint": _checkpoints,
    "cache": _entries,
    "message": _messages,
}
