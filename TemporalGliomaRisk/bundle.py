"""A trained model on disk: a MONAI bundle folder, read without pickle and refused when a hash is wrong.

``configs/metadata.json`` says what it is and what it was trained on, ``configs/inference.json`` how to build it,
``models/model.safetensors`` holds the weights, ``calibration.json`` the positive constants, ``docs/README.md`` is the
model card, and ``SHA256SUMS`` covers them all. ``doubt.json`` and ``sanity.json``, which say when not to believe it,
``models/order.safetensors``, the ordering head, and ``models/pretrained.safetensors``, the pair model as pretraining
left it, may be missing. The network is built from an allow-list, never from a class that a file names, so that a
crafted bundle can't run code.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import TemporalGliomaRisk
from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle_doubt import DOUBT, DOUBT_TENSORS, SANITY, doubt_of, sanity_of, write_doubt
from TemporalGliomaRisk.bundle_weights import LARGEST_WEIGHTS_BYTES, load_weights, save_weights
from TemporalGliomaRisk.encode.evidence import MOST_CHANNELS, EvidenceConfig, EvidenceModel
from TemporalGliomaRisk.encode.pairs import OrderHead, PairModel
from TemporalGliomaRisk.errors import GliomaRiskError, ModelError
from TemporalGliomaRisk.explain.sanity import HeatmapSanity
from TemporalGliomaRisk.files import sha256_of, write_json_whole, write_text_whole
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.doubt import Doubt
from TemporalGliomaRisk.risk.hazards import HORIZON_DAYS, INTERVAL_EDGES_DAYS
from TemporalGliomaRisk.timeline.visit import SEQUENCES

FORMAT_VERSION = 1
LARGEST_TEXT_BYTES = 4_000_000
MOST_FILES = 1000
LONGEST_NAME = 200
SUMS, METADATA, INFERENCE = "SHA256SUMS", "configs/metadata.json", "configs/inference.json"
WEIGHTS, CALIBRATION, CARD, LICENCE = "models/model.safetensors", "calibration.json", "docs/README.md", "LICENSE"
SIMULATED = "simulated data"
"""What metadata say of a model whose own patients were all simulated (``trained_on``)."""
ORDER, PRETRAINED = "models/order.safetensors", "models/pretrained.safetensors"
OWN = (METADATA, INFERENCE, WEIGHTS, ORDER, PRETRAINED, CALIBRATION, DOUBT, DOUBT_TENSORS, SANITY, CARD, LICENCE)
OWN_DOCUMENTS = (".md", ".png")
"""How the card and its pictures end, all in one folder."""
NETWORK_TARGET = "TemporalGliomaRisk.encode.evidence.EvidenceModel"
CONFIG_TARGET = "TemporalGliomaRisk.encode.evidence.EvidenceConfig"
MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)


@dataclass(frozen=True, kw_only=True)
class RiskModel:
    """A trained model with all that its numbers depend on.

    Args:
        name: The bundle's name.
        sha256: Hash over the hashes of its files, which names exactly these weights and settings.
        network: Encoder and heads, in evaluation mode.
        preprocessing: The preprocessing it was trained with.
        calibration: Of the ensemble.
        single_visit_calibration: Of the single-visit head.
        metadata: ``configs/metadata.json``: what it was trained on, by whom, within which bounds.
        card: The model card, Markdown.
        folder: Where it was read from, None for a model in memory.
        doubt: What tells when a visit is unlike training or members are at odds, None when the bundle doesn't say.
        heatmap_sanity: The weight-randomisation test of its maps, None likewise.
        order: The ordering head, taught on whole visits, None likewise.
    """

    name: str
    sha256: str
    network: EvidenceModel
    preprocessing: PreprocessConfig
    calibration: Calibration
    single_visit_calibration: Calibration
    metadata: Mapping[str, Any]
    card: str
    folder: Path | None = None
    doubt: Doubt | None = None
    heatmap_sanity: HeatmapSanity | None = None
    order: OrderHead | None = None

    @property
    def trained_gaps_days(self) -> tuple[int, int] | None:
        """Shortest and longest gap between visits in training, None when the bundle doesn't say."""
        gaps = self.metadata.get("trained_gaps_days")
        return (int(gaps[0]), int(gaps[1])) if gaps else None

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of the bundle's own files, by path inside it: SHA256SUMS and what it lists; empty in memory.

        Whatever else lies in the folder is none of the model's.
        """
        if self.folder is None:
            return {}
        listed = (line.partition("  ") for line in _read_text(self.folder / SUMS).splitlines())
        return {SUMS: self.sha256, **{name: digest for digest, _, name in listed}}

    @property
    def risk_files(self) -> dict[str, str]:
        """SHA-256 of the files that every risk is made with, by path: weights and calibration; empty in memory."""
        return {name: digest for name, digest in self.files.items() if name in (WEIGHTS, CALIBRATION)}


def only_simulated(metadata: Mapping[str, Any]) -> bool:
    """Whether a bundle's weights learnt from simulated patients alone, those that they began with included."""
    learnt = metadata.get("learnt_from") or []
    return metadata.get("trained_on") == SIMULATED and all(one.get("simulated_cohorts") for one in learnt)


def load_bundle(folder: Path) -> RiskModel:
    """Read a bundle.

    Raises:
        ModelError: If a file is missing, altered or of another format, or the weights do not fit the network.
    """
    sums, covered = _check_hashes(folder)
    metadata = _read_json(folder / METADATA)
    inference = _read_json(folder / INFERENCE)
    calibration = _read_json(folder / CALIBRATION)
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"This version reads bundle format {FORMAT_VERSION}, the model has {metadata.get('format_version')}; "
            "use a model made for this version."
        )
    _check_metadata(metadata)
    try:
        network = _build(inference["network_def"])
        preprocessing = configs.from_json(PreprocessConfig, inference["preprocessing"])
        ensemble = configs.from_json(Calibration, calibration["ensemble"])
        single = configs.from_json(Calibration, calibration["single_visit"])
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError, GliomaRiskError) as error:
        raise ModelError("The model's configuration is incomplete or not understood; fetch the model again.") from error
    load_weights(network, folder / WEIGHTS)
    return RiskModel(
        name=str(metadata.get("name", folder.name)),
        sha256=sums,
        network=network.eval(),
        preprocessing=preprocessing,
        calibration=ensemble,
        single_visit_calibration=single,
        metadata=metadata,
        card=_read_text(folder / CARD),
        folder=folder,
        doubt=_load_doubt(folder, covered, network),
        heatmap_sanity=sanity_of(_read_json(folder / SANITY)) if SANITY in covered else None,
        order=load_weights(OrderHead(network.config), folder / ORDER) if ORDER in covered else None,
    )


def load_pretrained(model: RiskModel) -> PairModel | None:
    """The pair model as pretraining left it, to go on from with another cohort; None for a bundle that lacks it.

    Raises:
        ModelError: If it is damaged.
    """
    if model.folder is None or PRETRAINED not in _check_hashes(model.folder)[1]:
        return None
    return load_weights(PairModel(model.network.config), model.folder / PRETRAINED)


def write_bundle(
    folder: Path,
    *,
    network: EvidenceModel,
    preprocessing: PreprocessConfig,
    calibration: Calibration,
    single_visit_calibration: Calibration,
    metadata: Mapping[str, Any],
    card: str,
    licence: str,
    doubt: Doubt | None = None,
    heatmap_sanity: HeatmapSanity | None = None,
    order: OrderHead | None = None,
    pretrained: PairModel | None = None,
) -> None:
    """Write a bundle; ``SHA256SUMS`` comes last, so that an interrupted writing leaves no bundle that loads."""
    (folder / SUMS).unlink(missing_ok=True)
    facts = {
        **_monai_facts(network),
        "format_version": FORMAT_VERSION,
        "horizon_days": HORIZON_DAYS,
        "interval_edges_days": list(INTERVAL_EDGES_DAYS),
        **metadata,
    }
    write_json_whole(folder / METADATA, facts)
    network_definition = {
        "_target_": NETWORK_TARGET,
        "config": {"_target_": CONFIG_TARGET, **configs.to_json(network.config)},
        "members": len(network.members),
    }
    inference = {"network_def": network_definition, "preprocessing": configs.to_json(preprocessing)}
    write_json_whole(folder / INFERENCE, inference)
    for name, part in ((WEIGHTS, network), (ORDER, order), (PRETRAINED, pretrained)):
        (folder / name).unlink(missing_ok=True)
        if part is not None:
            save_weights(part, folder / name)
    both = {"ensemble": configs.to_json(calibration), "single_visit": configs.to_json(single_visit_calibration)}
    write_json_whole(folder / CALIBRATION, both)
    write_doubt(folder, doubt, heatmap_sanity)
    write_text_whole(folder / CARD, card)
    write_text_whole(folder / LICENCE, licence)
    seal_bundle(folder)


def _monai_facts(network: EvidenceModel) -> dict[str, Any]:
    """What MONAI asks of ``configs/metadata.json``; the caller's own metadata wins where both speak."""
    version = importlib.metadata.version
    sequences = {str(number): name for number, name in enumerate(SEQUENCES)}
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": len(SEQUENCES),
        "spatial_shape": ["2*n", "2*n", "2*n"],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": sequences,
    }
    hazards = {
        "type": "tuple",
        "format": "hazard",
        "num_channels": len(network.members),
        "spatial_shape": [len(INTERVAL_EDGES_DAYS) - 1],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {str(number): f"member {number + 1}" for number in range(len(network.members))},
    }
    return {
        "schema": MONAI_SCHEMA,
        "version": TemporalGliomaRisk.__version__,
        "changelog": {TemporalGliomaRisk.__version__: "made by calibrate"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {"safetensors": version("safetensors"), "SimpleITK": version("SimpleITK")},
        "task": "Risk of glioma recurrence within 365 days of each visit",
        "description": "Local hazards at every place of the brain, added up to the risk at every visit of a timeline.",
        "authors": "The TemporalGliomaRisk developers",
        "copyright": "The TemporalGliomaRisk developers, Apache-2.0",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"hazards": hazards}},
    }


def seal_bundle(folder: Path) -> None:
    """Write ``SHA256SUMS`` over every file of the bundle, in the format of the sha256sum tool.

    What a user or a system put beside them, hidden files and such as no list may name included, is none of them.
    """
    documents = [
        path
        for path in (folder / CARD).parent.glob("[!.]*")
        if path.suffix in OWN_DOCUMENTS
        and _may_be_listed(path.relative_to(folder).as_posix())
        and folder.resolve() in path.resolve().parents
    ]
    files = sorted(path for path in {*(folder / name for name in OWN), *documents} if path.is_file())
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text_whole(folder / SUMS, "".join(lines))


def _may_be_listed(name: str) -> bool:
    return re.fullmatch(rf"[\w./ -]{{0,{LONGEST_NAME}}}", name, re.ASCII) is not None


def _check_hashes(folder: Path) -> tuple[str, frozenset[str]]:
    """The hash over all hashes, and the names of the files that they cover."""
    listed = folder / SUMS
    if not listed.is_file():
        raise ModelError("A model folder needs SHA256SUMS beside its files, and there is none; name a model bundle.")
    names = set()
    lines = _read_text(listed).splitlines()
    if len(lines) > MOST_FILES:
        raise ModelError("SHA256SUMS of the model lists more files than any model has; fetch the model again.")
    for line in lines:
        expected, _, name = line.partition("  ")
        if not _may_be_listed(name):
            raise ModelError("SHA256SUMS of the model lists no file name; fetch the model again.")
        path = folder / name.replace("\0", "")
        if not name or folder.resolve() not in path.resolve().parents:
            raise ModelError("SHA256SUMS of the model names a file outside its folder; fetch the model again.")
        if not path.is_file():
            raise ModelError(f"The model lacks {name}, which SHA256SUMS lists; fetch the model again.")
        if path.stat().st_size > LARGEST_WEIGHTS_BYTES:
            raise ModelError(f"{name} of the model is larger than any this version makes; fetch the model again.")
        if sha256_of(path) != expected:
            raise ModelError(f"{name} of the model has another hash than SHA256SUMS says; fetch the model again.")
        names.add(name)
    missing = [name for name in (METADATA, INFERENCE, WEIGHTS, CALIBRATION, CARD) if name not in names]
    if missing:
        raise ModelError(f"SHA256SUMS of the model does not cover {', '.join(missing)}; fetch the model again.")
    return sha256_of(listed), frozenset(names)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse what is shown or computed with and is not of its kind."""
    gaps = metadata.get("trained_gaps_days")
    days = gaps if isinstance(gaps, list) else []
    if gaps and (len(days) != 2 or any(not isinstance(day, (int, float)) or not 0 <= day < 1e5 for day in days)):
        raise ModelError("trained_gaps_days of the model must be two numbers of days; fetch the model again.")
    if not isinstance(metadata.get("caveat"), str):
        raise ModelError("The model lacks its caveat, which stands beside every number; fetch the model again.")
    name = metadata.get("name", "model")
    if not isinstance(name, str) or re.fullmatch(r"[\w][\w .-]{0,99}", name, re.ASCII) is None:
        raise ModelError("The model's name must be letters, digits, dots and dashes; fetch the model again.")


def _read_text(path: Path) -> str:
    if path.stat().st_size > LARGEST_TEXT_BYTES:
        raise ModelError(f"{path.name} of the model is larger than any this version makes; fetch the model again.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path.name} of the model is not text; fetch the model again.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} of the model is not JSON; fetch the model again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} of the model must hold a JSON object; fetch the model again.")
    return content


def _build(definition: Mapping[str, Any]) -> EvidenceModel:
    settings = dict(definition["config"])
    if definition["_target_"] != NETWORK_TARGET or settings.pop("_target_") != CONFIG_TARGET:
        raise ModelError("The model asks for a network that this version does not know; use a model made for it.")
    config = configs.from_json(EvidenceConfig, settings)
    sizes = (config.feature_channels, config.comparison_channels, config.history_channels)
    members = int(definition["members"])
    if not (1 <= members <= 32 and 0 <= config.convolutions <= 8 and all(1 <= size <= MOST_CHANNELS for size in sizes)):
        raise ModelError("The model's sizes are outside what this version builds; fetch the model again.")
    return EvidenceModel(config, members)


def _load_doubt(folder: Path, covered: frozenset[str], network: EvidenceModel) -> Doubt | None:
    """What tells when not to believe the model; None for a bundle that lacks it."""
    if DOUBT not in covered:
        return None
    if DOUBT_TENSORS not in covered:
        raise ModelError(f"SHA256SUMS of the model does not cover {DOUBT_TENSORS}; fetch the model again.")
    if (folder / DOUBT_TENSORS).stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise ModelError("The model's tensors of doubt are larger than any this version makes; fetch the model again.")
    return doubt_of(_read_json(folder / DOUBT), folder / DOUBT_TENSORS, network.config.feature_channels)
