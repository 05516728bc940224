"""What others call the pulse sequences: one written map, for tables, file names and DICOM descriptions alike."""

from __future__ import annotations

import re

from TemporalGliomaRisk.timeline.visit import SequenceName

ASSUMED_SEQUENCE: SequenceName = "FLAIR"
"""What dated files are taken for when their names say nothing (``PATIENT_YYYYMMDD.nii.gz``)."""

SYNONYMS: dict[SequenceName, tuple[str, ...]] = {
    "FLAIR": ("flair", "t2flair", "flairt2", "t2wflair", "t2fl", "fl", "darkfluid", "tirmdarkfluid", "t2darkfluid"),
    "T2w": ("t2", "t2w", "t2wi", "t2weighted", "t2tse", "t2fse"),
    "T1w": ("t1", "t1w", "t1wi", "t1weighted", "t1pre", "t1wpre", "t1n", "t1native", "mprage", "t1mprage"),
    "ce-gd_T1w": (
        "cegdt1w", "ceT1w", "t1ce", "t1wce", "t1cew", "cet1", "t1c", "t1wc", "t1gd", "t1wgd", "gdt1", "gdt1w", "t1gad",
        "t1gado", "t1contrast", "t1post", "t1wpost", "t1postcontrast", "postt1", "postt1w", "t1wpostcontrast",
        "contrastenhancedt1w", "contrastenhancedt1", "t1km", "t1plusc",
    ),
}  # fmt: skip
"""Spellings taken for each sequence; letter case, blanks, ``-``, ``_`` and ``.`` don't matter, ``+`` reads "plus"."""

_BY_SPELLING = {spelling.lower(): name for name, spellings in SYNONYMS.items() for spelling in spellings}

_NOT_ANATOMICAL = re.compile(
    r"localizer|localiser|scout|survey|plane_?loc|\bloc\b|calib|diff|dwi|\badc\b|trace|dti|tensor|\bfa\b|colfa|swi|swan"
    r"|\bpha\b|phase|perf|dsc|dce|asl|\bcbf\b|\bcbv\b|\bmtt\b|tof|angio|\bmra\b|\bmip\b|bold|fmri|epi_|spectro|\bmrs\b"
    r"|\bcsi\b|t2_?star|t2\*|hemo|\bgre_?fl2d|subtr|\bsub\b|map\b|spine|orbit",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"post|gad|\bgd\b|[+]\s*c\b|[+]\s*gd|\bce\b|\bkm\b|contrast|t1ce|t1c\b|enhanced|dotarem|gadovist", re.I
)
_PRE = re.compile(r"\bpre\b|\bnon?[ -]?(gad|gd|con)|without|w/o|nativ|\bsin\b|unenhanced", re.IGNORECASE)
_NO_AGENT = {"", "no", "none", "n", "no contrast", "without", "n/a", "na", "0"}


def sequence_from_name(text: str) -> SequenceName | None:
    """The pulse sequence that a table's cell or a file name's last part names, None if it names none.

    ``T1-Gd``, ``t1ce`` and ``T1_post`` are ``ce-gd_T1w``; ``flair`` and ``T2-FLAIR`` are ``FLAIR``.
    """
    return _BY_SPELLING.get(re.sub(r"[\s_.\-]+", "", text.replace("+", "plus")).lower())


def sequence_from_description(description: str, contrast_agent: str) -> SequenceName | None:
    """The pulse sequence that a DICOM series' description tells, None if it does not tell.

    The rule, in order: descriptions of localizers, diffusion, susceptibility, perfusion, angiography, maps and
    subtractions are none; ``flair`` or ``dark fluid`` is FLAIR, but for ``t1 flair``, which is a T1w; ``t1``, MPRAGE
    and its kin are T1w, contrast-enhanced where the description says so or a contrast agent is stored, unless the
    description says ``pre``; ``t2`` is T2w.
    """
    text = description.replace("_", " ")
    if _NOT_ANATOMICAL.search(description) or _NOT_ANATOMICAL.search(text):
        return None
    whole = sequence_from_name(description)
    if whole is not None and whole != "T1w":
        return whole
    inverted = re.search(r"flair|dark[ -]?fl", text, re.IGNORECASE)
    if inverted and (re.search(r"t2", text, re.IGNORECASE) or not re.search(r"\bt1w?\b", text, re.IGNORECASE)):
        return "FLAIR"
    if re.search(r"t1|mprage|mp2rage|spgr|bravo|\btfe\b|tfl3d|vibe|fspgr", text, re.IGNORECASE):
        return with_contrast(description, contrast_agent)
    if re.search(r"t2|\btse\b.*\btra\b.*\bt2\b|ciss|fiesta", text, re.IGNORECASE):
        return None if re.search(r"ciss|fiesta", text, re.IGNORECASE) else "T2w"
    return None


def sequence_from_series(description: str, protocol: str, contrast_agent: str) -> SequenceName | None:
    """The same from a series' own description, and by its protocol's name only where the description tells nothing.

    Some scanners store one protocol for a whole examination (``BRAIN W WO CONTRAST``), which says nothing of a series.
    """
    own = sequence_from_description(description, contrast_agent)
    if own is not None or any(_NOT_ANATOMICAL.search(text) for text in (description, description.replace("_", " "))):
        return own
    return sequence_from_description(f"{protocol} {description}".strip(), contrast_agent)


def with_contrast(description: str, contrast_agent: str) -> SequenceName:
    """T1w or ce-gd_T1w, by the description first and the stored contrast agent second."""
    text = description.replace("_", " ")
    if _PRE.search(text):
        return "T1w"
    if _CONTRAST.search(text) or contrast_agent.strip().lower() not in _NO_AGENT:
        return "ce-gd_T1w"
    return "T1w"


def sequence_from_timing(
    echo_ms: float | None, repetition_ms: float | None, inversion_ms: float | None
) -> SequenceName | None:
    """FLAIR, T2w or T1w by timing alone, None where the times don't tell. Contrast is not in the times.

    Source:
        Usual clinical ranges at 1.5 and 3 T: FLAIR has TE >= 70 and TI >= 1500 ms, T2w TE >= 70 and TR >= 2000 ms,
        T1w TE <= 30 and TR <= 3000 ms (MPRAGE stores TR of the whole train).
    """
    if echo_ms is None or repetition_ms is None:
        return None
    if echo_ms >= 70 and (inversion_ms or 0) >= 1500:
        return "FLAIR"
    if echo_ms >= 70 and repetition_ms >= 2000 and not inversion_ms:
        return "T2w"
    if echo_ms <= 30 and repetition_ms <= 3000:
        return "T1w"
    return None
