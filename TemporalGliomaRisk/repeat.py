"""Repeats a run from its audit.json, with the same options on the same input, and says in sentences what differs.

Input, days, brain mask or model that differ make it another run, so they are refused. Versions, machine or device that
differ are reported, because the risks may then differ in their last digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.errors import InputError, ModelError, UsageError
from TemporalGliomaRisk.pipeline import Prediction
from TemporalGliomaRisk.preprocess.keys import volume_key
from TemporalGliomaRisk.report.audit import (
    WITHHELD,
    WORDS_OF_OPTIONS,
    AuditRecord,
    input_hashes,
    platform_name,
    versions,
    visit_days,
)
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.run import PredictRequest, RequestInputs, TimelineInput, load_model, mask_asked
from TemporalGliomaRisk.timeline.visit import Timeline


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_word(name: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(WORDS_OF_OPTIONS[name], value) is not None


_OPTIONS: Mapping[str, Callable[[object], bool]] = {
    "device": partial(_is_word, "device"),
    "register": partial(_is_word, "register"),
    "mask": lambda value: value == WITHHELD or _is_word("mask", value),
    "heatmaps": _is_switch,
    "identified": _is_switch,
    "scene": _is_switch,
}
"""What each option of an audit can be."""


def request_of(
    audit: AuditRecord, timeline: TimelineInput, output: Path, *, patient: str | None = None, mask: Path | None = None
) -> PredictRequest:
    """The request that an audit tells of.

    Args:
        audit: From ``read_audit_record``.
        timeline: The input, which an audit does not name.
        output: Folder for the results.
        patient: Which one, where the input holds several; an audit withholds it.
        mask: The brain mask's file, where one was given then.

    Raises:
        UsageError: If the audit's options are not all there or not what they can be, or a mask is given or lacking
            against what it says.
    """
    options = {"scene": False, **audit.options}
    wrong = sorted(name for name, allowed in _OPTIONS.items() if not allowed(options.get(name)))
    if wrong:
        raise UsageError(
            f"The audit does not say the option{'s' if len(wrong) > 1 else ''} {', '.join(wrong)} as predict writes "
            "them; it was written by another version, or changed. Repeat the run by its options on the command line."
        )
    word = str(options["mask"]) if options["mask"] in ("auto", "none") else None
    if word is None and mask is None:
        raise UsageError("The audited run had a brain mask of its own. Name its file with --mask FILE.")
    if word is not None and mask is not None:
        raise UsageError("The audited run was given no brain mask. Leave --mask out.")
    return PredictRequest(
        timeline=timeline,
        output=output,
        patient=patient,
        device=options["device"],
        register=options["register"],
        mask=mask or mask_asked(word or "auto"),
        heatmaps=options["heatmaps"],
        identified=options["identified"],
        scene=options["scene"],
    )


def model_of(audit: AuditRecord, folder: Path | None) -> RiskModel:
    """The audited run's model: from the folder given, else the one of that name that is shipped.

    Raises:
        ModelError: If there is none, or one of its files is not what it was.
    """
    if folder is None:
        try:
            known = re.fullmatch(r"[\w.-]+", audit.model) is not None
            folder = resource_path(f"Models/{audit.model}") if known else None
        except UsageError:
            folder = None
        if folder is None:
            raise ModelError("The audited run's model is not shipped with this version. Name its folder with --model.")
    model = load_model(folder)
    changed = sorted(name for name, now in model.files.items() if audit.model_files.get(name) != now)
    if changed:
        raise ModelError(
            f"The model is not that of the audited run: {_listed(changed)} differ. Name that one's folder with --model."
        )
    return model


def refuse_other_input(audit: AuditRecord, inputs: RequestInputs) -> None:
    """Refuse an input that is not the audited run's, with all that differs.

    Raises:
        InputError: If bytes, visits, days or the brain mask differ.
    """
    differ = _different_volumes(audit, inputs.timeline) or _different_days(audit, inputs.timeline)
    if inputs.brain_mask is not None and volume_key(inputs.brain_mask) != audit.brain_mask:
        differ.append("the brain mask is another")
    if differ:
        raise InputError(
            f"The input is not that of the audited run: {'; '.join(differ)}. Run predict without --from-audit."
        )


def _different_volumes(audit: AuditRecord, timeline: Timeline) -> list[str]:
    before, now = _by_visit(audit.inputs), _by_visit(input_hashes(timeline))
    if len(before) != len(now):
        return [f"it had {len(before)} visits and the input has {len(now)}"]
    differ = []
    for number, (then, here) in enumerate(zip(before, now, strict=True), start=1):
        for sequence in dict.fromkeys([*then, *here]):
            where = f"{sequence} of visit {number}"
            if sequence not in here:
                differ.append(f"{where} is missing")
            elif sequence not in then:
                differ.append(f"{where} is new")
            elif then[sequence] != here[sequence]:
                differ.append(f"{where} has other bytes")
    return differ


def _by_visit(hashes: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    """Hashes by sequence, a dictionary a visit; from labels such as ``sub-01_ses-02_ce-gd_T1w``."""
    visits: dict[str, dict[str, list[str]]] = {}
    for label, of_volume in hashes.items():
        _, session, sequence = label.split("_", 2)
        visits.setdefault(session, {})[sequence] = list(of_volume)
    return list(visits.values())


def _different_days(audit: AuditRecord, timeline: Timeline) -> list[str]:
    before, now = list(audit.days.values()), list(visit_days(timeline).values())
    if len(before) != len(now):
        return [f"the audit tells the days of {len(before)} visits and the input has {len(now)}"]
    return [
        f"visit {number} is on another day"
        for number, (then, here) in enumerate(zip(before, now, strict=True), start=1)
        if dict(then) != here
    ]


def noted_before(audit: AuditRecord) -> list[str]:
    """What differs in versions and machine, a sentence each."""
    now = versions(torch.__version__)
    said = [
        f"{library} was {audit.versions.get(library, 'absent')} and is {now.get(library, 'absent')}."
        for library in sorted({*now, *audit.versions})
        if now.get(library) != audit.versions.get(library)
    ]
    if platform_name() != audit.platform:
        said.append(f"The system was {audit.platform} and is {platform_name()}.")
    return said


def noted_after(audit: AuditRecord, prediction: Prediction, audited: Path, output: Path) -> list[str]:
    """What differs in the device and in the risks, a sentence each; the risks only where risk.json lies by the audit.

    Args:
        audit: Of the run repeated.
        prediction: The repetition.
        audited: Folder of the audit.
        output: Folder of the repetition.
    """
    said = []
    if prediction.device != audit.device:
        said.append(f"The device was {audit.device} and is {prediction.device}.")
    before, now = audited / "risk.json", output / "risk.json"
    if not before.is_file():
        return [*said, "No risk.json lies beside the audit, so the risks could not be compared."]
    if before.read_bytes() == now.read_bytes():
        return [*said, "risk.json is the same, byte for byte."]
    try:
        risks = [[visit["risk"] for visit in json.loads(path.read_text("utf-8"))["visits"]] for path in (before, now)]
        largest = max(abs(then - here) for then, here in zip(*risks, strict=True))
    except (ValueError, KeyError, TypeError):
        return [*said, "The risk.json beside the audit cannot be read, so the risks could not be compared."]
    return [*said, f"risk.json differs; the largest difference of a visit's risk is {largest:.2g}."]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
