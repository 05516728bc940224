"""What others call the pulse sequences: one written map, for tables, file names and DICOM descriptions alike."""

from __future__ import annotations

import re

from TemporalGliomaRisk.timeline.visit import SequenceName

ASSUMED_SEQUENCE: SequenceName = "FLAIR"
"""What dated files are taken for when their names say nothing (``PATIENT_YYYYMMDD.nii.gz``)."""

SYNONYMS: dict[SequenceName, tuple[str, ...]] = {
    "FLAIR": (
        "flair", "t2flair", "flairt2", "t2wflair", "t2fl", "fl", "darkfluid", "tirmdarkfluid", "t2darkfluid",
        "flairplus", "dafl", "t2dafl", "tirmdafl", "t2tirmdafl", "t2spcdafl",
    ),
    "T2w": ("t2", "t2w", "t2wi", "t2weighted", "t2tse", "t2fse"),
    "T1w": (
        "t1", "t1w", "t1wi", "t1weighted", "t1pre", "t1wpre", "t1n", "t1native", "mprage", "t1mprage", "t1minus",
        "t1wminus", "t1cminus", "t1wcminus", "t1minusc", "t1wminusc",
    ),
    "ce-gd_T1w": (
        "cegdt1w", "ceT1w", "t1ce", "t1wce", "t1cew", "cet1", "t1c", "t1wc", "t1gd", "t1wgd", "gdt1", "gdt1w", "t1gad",
        "t1gado", "t1contrast", "t1post", "t1wpost", "t1postcontrast", "postt1", "postt1w", "t1wpostcontrast",
        "contrastenhancedt1w", "contrastenhancedt1", "t1km", "t1plusc", "t1wplusc", "t1cplus", "t1wcplus", "t1plus",
        "t1wplus", "t1plusgd", "t1wplusgd", "t1plusgad", "t1plusgado", "t1pluskm", "t1plusce",
    ),
}  # fmt: skip
"""Spellings taken for each sequence; letter case, blanks, ``_``, ``.`` and a ``-`` that joins two parts don't matter;
``+`` reads "plus", and a ``-`` at the end or right before a part that a blank sets off reads "minus"."""

_BY_SPELLING = {spelling.lower(): name for name, spellings in SYNONYMS.items() for spelling in spellings}

_NOT_ANATOMICAL = re.compile(
    r"localizer|localiser|scout|survey|plane_?loc|\bloc\b|calib|diff|dwi|\badc\b|trace|dti|tensor|\bfa\b|colfa|swi|swan"
    r"|\bb[ =]?\d{2,4}\b|\bpha\b|phase|perf|dsc|dce|asl|\bcbf\b|\bcbv\b|\bmtt\b|tof|angio|\bmra\b|\bmip\b|bold|fmri"
    r"|epi_|spectro|\bmrs\b|\bcsi\b|t2_?star|t2 ?\*|hemo|\bgre_?fl2d|subtr|\bsub\b|map\b|orbit",
    re.IGNORECASE,
)
_NOT_THE_HEAD = re.compile(
    r"spine|spinal|\b[ctl][ -]?sp\b|cervic|thora[ck]|lumb|sacr"
    r"|\b[hbl]?ws\b|wirbel|\bneck\b|\bhals\b|rachis|abdom|pelvi",
    re.IGNORECASE,
)
_DARK_FLUID = re.compile(r"flair|dark[ -]*fl|\bda[ -]*fl(?:uid)?\b", re.IGNORECASE)
"""What attenuates fluid, as ``da-fl`` in Siemens' names; ``fl`` alone and ``fl3d`` are a FLASH."""
_GRADIENT_ECHO_T2 = re.compile(r"\bgre\b|\bt?ffe|fl[23]d|flash|\bme[23]d\b|medic|merge|ciss|fiesta", re.IGNORECASE)
"""Of a T2: weighted by T2*, or with fluid and fat alike, where a T2w of spin echoes is wanted."""

_NO = (
    r"\b(?:without|w[ /]?o|with no|ohne|o[.]|sans|sin|sem|senza|zonder|non?|not|vor|avant|before|antes|prima|voor|pre)"
    r"[ -]*"
)
_AGENT = r"(?:contrast|kontrast|con\b|c\b|ga?d|km\b|mdc|pdc|civ\b|ce\b|enhanc|inj|iv\b|dotarem)\w*"
_ASIDE = re.compile(
    r"\b(?:pre|post)[ -]?(?:op|surg|resect|resekt|biops|rt|rx|tx|chemo|radi|treat|therap)\w*"
    rf"|\bposterior\w*|\bpost fossa|{_NO}(?:fs|fat|fsat|stir)\b(?:[ -]?(?:sat|sup)\w*)?|{_NO}fat(?:sat|sup)\w*",
    re.IGNORECASE,
)
"""What sounds like contrast and is not: before and after an operation, behind, without fat saturation."""
_BOTH = re.compile(
    r"\bw(?:ith)?[ /&+,-]+(?:and )?w(?:ith)?[ /]?o|\bpre ?[/&+-] ?post\b|[+] ?/ ?-|- ?/ ?[+]", re.IGNORECASE
)
_WITHOUT = re.compile(
    rf"{_NO}(?:(?:the|mezzo di|medio de|iv|i[.]v[.]) )?{_AGENT}|\bunenhanced|\b(?:nativ\w*|plain|blanco|nc)\b"
    r"|\bc ?-(?![\w-])|(?<= )-c\b|\b(?:without|w[ /]?o|ohne|sans|pre|precon\w*)\b",
    re.IGNORECASE,
)
_WITH = re.compile(
    r"post|gad|gd\b|[+] ?(?:c|gd|km|ce)\b|\bc ?[+]|[+]$|\bce\b|\bm?km\b|\bmdc\b|contrast|kontrast|t1w?ce|t1w?c\b"
    r"|enhanced|dotarem|\binj(?:\b|ect)|\b(?:pdc|civ)\b",
    re.IGNORECASE,
)
_NO_AGENT = re.compile(
    r"(?:no|none|not|nil|null|n|n/?a|w/?o|without|ohne|keine?s?|sans|sin|senza|unknown)\b.*|[0., -]*(?:ml|cc)?",
    re.IGNORECASE,
)
"""What a field for the contrast agent holds where none was given: ``NONE GIVEN``, ``0 ml``."""


def sequence_from_name(text: str) -> SequenceName | None:
    """The pulse sequence that a table's cell or a file name's last part names, None if it names none.

    ``T1-Gd``, ``t1ce``, ``T1 C+`` and ``T1_post`` are ``ce-gd_T1w``; ``T1 C-`` is ``T1w``; ``flair`` and ``T2-FLAIR``
    are ``FLAIR``.
    """
    signed = re.sub(r"-\s*$|(?<=\s)-(?=\w)", "minus", text.replace("+", "plus"))
    return _BY_SPELLING.get(re.sub(r"[\s_.\-]+", "", signed).lower())


def sequence_from_description(description: str, contrast_agent: str) -> SequenceName | None:
    """The pulse sequence that a DICOM series' description tells, None if it does not tell.

    The rule, in order: descriptions of localizers, diffusion, susceptibility, perfusion, angiography, maps,
    subtractions, the spine and the neck are none; ``flair``, ``dark fluid`` or ``da-fl`` is FLAIR, but for
    ``t1 flair``, which is a T1w; ``t1``, MPRAGE and its kin are as :func:`with_contrast` says; ``t2`` is T2w, but for
    gradient echoes.
    """
    text = description.replace("_", " ")
    if _is_something_else(description):
        return None
    whole = sequence_from_name(description)
    if whole is not None and whole != "T1w":
        return whole
    if _DARK_FLUID.search(text) and (
        re.search(r"t2", text, re.IGNORECASE) or not re.search(r"\bt1w?\b", text, re.IGNORECASE)
    ):
        return "FLAIR"
    if re.search(r"t1|mprage|mp2rage|spgr|bravo|\btfe\b|tfl3d|vibe|fspgr", text, re.IGNORECASE):
        return with_contrast(description, contrast_agent)
    if re.search(r"t2", text, re.IGNORECASE) and not _GRADIENT_ECHO_T2.search(text):
        return "T2w"
    return None


def _is_something_else(description: str) -> bool:
    """Whether a description tells of no anatomical picture of the head."""
    texts = (description, description.replace("_", " "))
    return any(rule.search(text) for rule in (_NOT_ANATOMICAL, _NOT_THE_HEAD) for text in texts)


def sequence_from_series(description: str, protocol: str, contrast_agent: str) -> SequenceName | None:
    """The same from a series' own description, and by its protocol's name only where the description tells nothing.

    Some scanners store one protocol for a whole examination (``BRAIN W WO CONTRAST``), which says nothing of a series.
    """
    own = sequence_from_description(description, contrast_agent)
    if own is not None or _is_something_else(description):
        return own
    return sequence_from_description(f"{protocol} {description}".strip(), contrast_agent)


def with_contrast(description: str, contrast_agent: str) -> SequenceName | None:
    """T1w or ce-gd_T1w, by the description first and the stored contrast agent second; None where both are said.

    ``T1 WO GAD`` is a T1w, ``T1 POST`` a ce-gd_T1w, ``T1 W WO CONTRAST`` could be either.
    """
    text = _ASIDE.sub(" ", re.sub(r"[\s_]+", " ", description)).strip()
    without = _WITHOUT.search(text) is not None
    said_with = _WITH.search(_WITHOUT.sub(" ", text)) is not None
    if _BOTH.search(text) or (without and said_with):
        return None
    if without:
        return "T1w"
    given = _NO_AGENT.fullmatch(contrast_agent.strip()) is None
    return "ce-gd_T1w" if said_with or given else "T1w"


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
