"""Every rule by which input is refused or warned about: one table, one sentence each.

``REFUSAL``: no risk is computed. ``WARNING``: computed, and the warning stands beside the number. ``NOTE``: worth
knowing. ``{where}`` becomes "FLAIR of visit 2" or the like; a sentence never holds a name, date, identifier or path.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from TemporalGliomaRisk.timeline.finding import Finding, Severity

REFUSAL, WARNING, NOTE = Severity.REFUSAL, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule's severity and the sentence it speaks."""

    severity: Severity
    sentence: str


_TABLE: tuple[tuple[str, Severity, str], ...] = (
    # What was given
    ("nothing_to_read", REFUSAL, "{problem}"),
    ("several_patients", REFUSAL, "The input holds {count} patients, wanted one{labels}. Choose with --patient."),
    ("patient_not_found", REFUSAL, "The patient named with --patient is not in the input{labels}. Correct the name."),
    (
        "patient_unsure",
        WARNING,
        "{count} files carry one patient identifier but different {what}. Check that they are one patient's.",
    ),
    (
        "files_of_several_patients",
        REFUSAL,
        "The files in this patient's folders are called by the labels of {count} patients, wanted one. Move "
        "what is another's to its own folder, or correct the names.",
    ),
    (
        "files_of_another_patient",
        WARNING,
        "The files are called by another patient's label than the folder they lie in. Check that they are this "
        "patient's.",
    ),
    (
        "files_of_another_visit",
        WARNING,
        "{where}: a file is called by the label of another session than the one whose folder it lies in. Check that it "
        "is of this visit.",
    ),
    ("unknown_files", NOTE, "{count} files that are no volume or table of the timeline were ignored."),
    ("derived_files", NOTE, "{count} derived or other files (masks, maps, other image kinds) were ignored."),
    (
        "misnamed_files",
        WARNING,
        "{count} files in the folders anat name a pulse sequence otherwise than BIDS does and were left out. Let their "
        "names end in _FLAIR, _T2w, _T1w or _ce-gd_T1w if they are to be read.",
    ),
    (
        "undated_files",
        WARNING,
        "{count} volume files whose names hold no date where one is wanted were left out. Rename them "
        "PATIENT_YYYYMMDD_SEQUENCE or use a table.",
    ),
    ("columns_ignored", NOTE, "Not known and ignored: {which} of the table."),
    (
        "columns_tell_apart",
        WARNING,
        "The table's rows differ in {which}, not used, as those of several patients or of other days would. Check that "
        "all rows are one patient's and their days right; a column that tells patients must be called patient.",
    ),
    ("subfolders_ignored", NOTE, "{count} folders inside the folder of dated files were ignored."),
    (
        "labels_hidden",
        NOTE,
        "The sessions' labels hold dates or are no BIDS labels (letters and digits); the visits are numbered instead.",
    ),
    ("too_many_visits", REFUSAL, "The input holds {count} visits, more than the {limit} that are read. Give fewer."),
    ("file_missing", REFUSAL, "{where}: the file is not there. Correct the path or restore the file."),
    ("table_mistakes", REFUSAL, "{problem}"),
    # Sequences
    (
        "no_known_sequence",
        REFUSAL,
        "No volume of a known pulse sequence (FLAIR, T2w, T1w, ce-gd_T1w) was found{where_wanted}. "
        "Rename the files or use a table with a column sequence.",
    ),
    (
        "sequence_unknown",
        WARNING,
        "{count} files name a pulse sequence that is none of FLAIR, T2w, T1w, ce-gd_T1w and "
        "were left out. Rename them if they are one of these.",
    ),
    (
        "sequence_assumed",
        WARNING,
        "{count} files name no pulse sequence; {sequence} is assumed. Add _FLAIR, _T2w, _T1w "
        "or _ce-gd_T1w to the names.",
    ),
    (
        "sequence_before_date",
        NOTE,
        "{count} files name their pulse sequence before the date, and it was taken from there. If it is part of the "
        "patient's name instead, write the sequence behind the date, too.",
    ),
    (
        "time_points",
        REFUSAL,
        "The names hold {which} before the date, each on one date only, which can be time points or pulse sequences. "
        "Write the sequence behind the date, PATIENT_YYYYMMDD_SEQUENCE, or use a table.",
    ),
    (
        "competing_files",
        WARNING,
        "{where}: {count} files compete; the one with the plainest name is read, among equals "
        "the last run. Keep one file to choose yourself.",
    ),
    ("visit_without_volume", WARNING, "{count} sessions hold no volume of a known pulse sequence and were left out."),
    (
        "content_contradicts_label",
        WARNING,
        "{where}: fluid looks {seen}, wanted {wanted} for {sequence}. Check that "
        "the file is the pulse sequence it is called.",
    ),
    (
        "no_common_sequence",
        WARNING,
        "Visit {visit} shares no pulse sequence with the first visit, so the two cannot be "
        "compared directly and the risk is less sure. Add a sequence that both have.",
    ),
    # Days
    ("dates_missing", REFUSAL, "{problem}"),
    ("date_unreadable", REFUSAL, "{where}: {what} cannot be read; wanted {wanted}. Correct it."),
    ("date_in_future", REFUSAL, "{where} is dated after today. Correct the date."),
    (
        "date_implausible",
        WARNING,
        "{where} is dated before 1925, as when dates were shifted to hide them; only the days between visits are used.",
    ),
    ("days_contradict", REFUSAL, "{where}: {first} and {second} disagree by {count} days. Correct one of them."),
    ("days_unknown", WARNING, "No date or day is given for the only visit; its day is unknown and taken as the first."),
    (
        "two_visits_one_day",
        REFUSAL,
        "Visits {first} and {second} are on the same day. Correct the date, or join them into one visit.",
    ),
    (
        "same_sequence_same_day",
        REFUSAL,
        "{where}: {count} files for one sequence on one day. Keep one, or correct the date.",
    ),
    (
        "sessions_out_of_order",
        WARNING,
        "The sessions' labels are in another order than their days; the days are followed. Check the days.",
    ),
    ("session_without_files", NOTE, "{count} rows of the sessions table have no session folder and were ignored."),
    (
        "sessions_table_elsewhere",
        NOTE,
        "Days come from the sessions table of the dataset that these derivatives belong to.",
    ),
    ("days_of_scans", NOTE, "There is no sessions table; days come from acq_time of the sessions' scans tables."),
    (
        "days_shifted",
        NOTE,
        "The first visit with a volume is {count} days after the first day of the table; days are "
        "counted from that visit.",
    ),
    (
        "before_treatment",
        WARNING,
        "{where} is {count} days before the end of treatment; the risk is meant for visits after it.",
    ),
    (
        "gap_untrained",
        WARNING,
        "{where} is {count} days after the previous visit; the model was trained on gaps of {low} to {high} days.",
    ),
    (
        "rests_on_untrained_gap",
        WARNING,
        "{where} rests on the gap before visit {first} too, which is unlike those that the model was trained on.",
    ),
    (
        "gaps_not_compared",
        NOTE,
        "The model does not say which gaps between visits it was trained on, so those here were not compared.",
    ),
    (
        "single_visit",
        WARNING,
        "There is one visit only: nothing can be compared over time, and the risk is far less "
        "certain than with several.",
    ),
    # DICOM
    (
        "dicom_unread",
        WARNING,
        "{count} DICOM files are damaged, or packed in a way that is not read (deflated), and were left out.",
    ),
    (
        "pixels_missing",
        REFUSAL,
        "{where}: {count} DICOM files hold no pixels or too few, or contradict themselves about them. "
        "Export the series again.",
    ),
    (
        "slope_of_0",
        REFUSAL,
        "{where}: the rescale slope is 0 in {count} DICOM files, wanted another number, so their intensities are not "
        "known. Export the series again.",
    ),
    (
        "places_unusable",
        REFUSAL,
        "{where}: orientation, position or pixel spacing is missing or impossible in {count} DICOM files. "
        "Export the series again.",
    ),
    ("too_large", REFUSAL, "{where}: the series states {voxels} voxels, more than the {limit} that are read."),
    (
        "series_skipped",
        NOTE,
        "{count} DICOM series that are localizers, projections, phase, diffusion or computed images, colour or "
        "secondary images, or not MR were ignored.",
    ),
    (
        "series_unclassed",
        WARNING,
        "{count} DICOM series of visit {visit} could not be told to be FLAIR, T2w, T1w or "
        "ce-gd_T1w and were left out. Use a table to name them.",
    ),
    (
        "sequence_from_timing",
        WARNING,
        "{where}: the series' description does not tell the pulse sequence; it was told "
        "from echo, repetition and inversion time.",
    ),
    (
        "sequence_overruled",
        WARNING,
        "{where}: the series' description says T2w, but its echo and inversion times are those of a FLAIR, and as such "
        "it is read. Use a table if it is none.",
    ),
    (
        "competing_series",
        WARNING,
        "{where}: {count} DICOM series compete; the one with the most slices is read, among "
        "equals the last. Use a table to choose yourself.",
    ),
    ("several_studies", WARNING, "Visit {visit} joins {count} DICOM studies of one day."),
    ("duplicate_files", WARNING, "{where}: {count} DICOM files are copies of others and were left out."),
    ("instance_numbers", WARNING, "{where}: {count} instance numbers occur twice; slices are ordered by position."),
    (
        "slices_missing",
        REFUSAL,
        "{where}: slice positions leave a gap ({count} slices missing, wanted an even "
        "distance). Export the series again.",
    ),
    (
        "slices_apart",
        WARNING,
        "{where}: slices lie {found} mm apart, which is used, and the header says {stated} mm. Check that no slices "
        "are missing; every second one may be.",
    ),
    (
        "slices_doubled",
        REFUSAL,
        "{where}: {count} slices lie at the place of another (several echoes, times or "
        "repeats in one series). Export one of them alone.",
    ),
    (
        "slices_uneven",
        REFUSAL,
        "{where}: the distance between slices varies from {low} to {high} mm, wanted an even "
        "distance. Export the series again.",
    ),
    ("slices_mixed", REFUSAL, "{where}: slices of one series differ in {what}. Export the series again."),
    # Headers
    (
        "not_three_dimensional",
        REFUSAL,
        "{where}: the image has {count} dimensions, wanted 3. Split or convert the file.",
    ),
    ("unreadable", REFUSAL, "{where}: the file cannot be read ({problem}). Convert or copy it again."),
    ("truncated", REFUSAL, "{where}: the file is cut short or damaged ({problem}). Copy it again from its source."),
    ("geometry_unusable", REFUSAL, "{where}: {problem}"),
    (
        "orientation_unknown",
        WARNING,
        "{where}: the header does not say how the voxels lie in the patient (qform and "
        "sform codes are 0); left and right are a guess.",
    ),
    (
        "handedness_disagrees",
        REFUSAL,
        "{where}: qform and sform are mirror images of each other, so left and right are "
        "not known. Correct the header.",
    ),
    (
        "forms_disagree",
        WARNING,
        "{where}: qform and sform place the voxels up to {distance} mm apart; the {used} is used, as 3D Slicer does.",
    ),
    (
        "sizes_contradict",
        REFUSAL,
        "{where}: the header's voxel sizes and its matrix place the voxels {distance} mm apart, so their "
        "true size is not known. Correct the header.",
    ),
    ("place_outside", REFUSAL, "{where}: the header places the volume over {limit} m from the scanner. Correct it."),
    (
        "handedness_differs",
        NOTE,
        "Voxel axes are left-handed in some volumes and right-handed in others; allowed, but "
        "check left and right if any was converted by hand.",
    ),
    (
        "spacing_outside",
        REFUSAL,
        "{where}: voxels of {spacing} mm, wanted each side between 0.2 and 10 mm. Correct "
        "the header (a unit other than mm?).",
    ),
    ("volume_unusable", REFUSAL, "{where}: {problem}"),
    # Voxels
    (
        "intensities_outside",
        REFUSAL,
        "{where}: the largest intensity is {largest}, wanted between {low} and {high}, beyond which numbers of single "
        "precision overflow. Scale the voxels and write the file again.",
    ),
    (
        "bytes_swapped",
        REFUSAL,
        "{where}: neighbouring voxels are as unlike as in noise, and alike once the bytes of every number are read in "
        "the other order than the header says. Convert the file again, or correct the byte order.",
    ),
    ("not_finite", REFUSAL, "{where}: {count} voxels are NaN or infinite. Replace them and write the file again."),
    ("empty", REFUSAL, "{where}: every voxel has the same value. Check how the file was made."),
    (
        "few_values",
        REFUSAL,
        "{where}: the voxels hold {count} different values only, as a mask does; wanted an MRI volume. "
        "Name the image instead.",
    ),
    (
        "flat_inside",
        REFUSAL,
        "{where}: the inner head has one and the same value, as a smoothed mask has; wanted an MRI volume. "
        "Name the image instead.",
    ),
    ("no_head", REFUSAL, "{where}: no head was found, {volume} mL of signal in one piece, wanted 300 or more."),
    (
        "brain_cut_off",
        WARNING,
        "{where}: the brain seems cut off by the field of view at its {sides} side; what lies outside has no heatmap.",
    ),
    (
        "same_voxels_two_visits",
        REFUSAL,
        "{where} has the very voxels of {other}. Replace the copy or remove the visit.",
    ),
    ("same_voxels_two_sequences", WARNING, "{where} has the very voxels of {other}. Check which of the two it is."),
    # Alignment, measured by preprocess
    (
        "far_from_first",
        NOTE,
        "{where} lies about {distance} mm from the first visit (mean over the brain); it is "
        "registered unless --register never is given.",
    ),
    ("unlike_first", WARNING, "{where} could not be compared with the first visit: {problem}"),
)

RULES = MappingProxyType({code: Rule(severity=severity, sentence=sentence) for code, severity, sentence in _TABLE})
"""Rule by code; codes are stable, for programs and tests."""


def place_of(visit: int | None, sequence: str | None = None) -> str:
    """How a message names a place: ``FLAIR of visit 2``, ``Visit 2``, ``The timeline``."""
    if visit is None:
        return "The timeline" if sequence is None else sequence
    return f"Visit {visit}" if sequence is None else f"{sequence} of visit {visit}"


def finding(code: str, *, visit: int | None = None, sequence: str | None = None, **values: object) -> Finding:
    """A finding by a rule of the table.

    Args:
        code: The rule's code.
        visit: Number of the visit, from 1.
        sequence: Pulse sequence concerned.
        values: What the rule's sentence leaves open.
    """
    rule = RULES[code]
    open_values = {"where": place_of(visit, sequence), "visit": visit, "sequence": sequence, **values}
    return Finding(
        severity=rule.severity,
        code=code,
        message=rule.sentence.format(**open_values),
        visit=visit,
        sequence=sequence,
    )
