"""The model card, in the order of TRIPOD+AI: every number read off the bundle's metadata or an evaluation.

``calibrate`` writes the card; ``evaluate --card`` fills in what was measured, cohort by cohort, between markers.

Source:
    Collins GS, et al. TRIPOD+AI statement. BMJ 2024;385:e078378.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from TemporalGliomaRisk.bundle import SIMULATED, only_simulated
from TemporalGliomaRisk.learn.card_parts import CARD_WIDTH, DOUBT_BEGINS, DOUBT_ENDS, marked
from TemporalGliomaRisk.learn.cohort_facts import simulate_command
from TemporalGliomaRisk.learn.export import least_agreement
from TemporalGliomaRisk.learn.implants import FATES
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.hazards import HORIZON_DAYS

NOT_YET = "Not yet evaluated."
NOT_RECORDED = "not recorded"


def model_card(metadata: Mapping[str, Any], ensemble: Calibration, single: Calibration) -> str:
    """The model card without what ``evaluate --card`` measures.

    Args:
        metadata: The bundle's; a fact that it lacks is said to be not recorded or left out.
        ensemble: Calibration of the risk.
        single: Calibration of the single-visit risk.
    """
    sections = (
        ("What it gives", _gives()),
        ("Intended use and users", _use(metadata)),
        ("Population", _population(metadata)),
        ("Endpoint", _endpoint(metadata)),
        ("Predictors", _predictors(metadata)),
        ("Sample size", _sample(metadata)),
        ("Missing data", _missing(metadata)),
        ("Model and training", _training(metadata)),
        ("How the model was chosen", _chosen(metadata)),
        ("Calibration", _calibration(metadata, ensemble, single)),
        ("Fairness and subgroups", f"{_fairness(metadata)}\n\n{marked('subgroups', NOT_YET)}"),
        ("Limitations", f"{_limitations(metadata)}\n\n{DOUBT_BEGINS}\n{DOUBT_ENDS}"),
        ("Results", marked("evaluation", NOT_YET)),
        ("How to cite and to reproduce", _reproduce(metadata)),
    )
    texts = [f"# {metadata['name']}", f"{metadata['caveat']} Never a diagnosis."]
    return "\n\n".join([*texts, *(f"## {title}\n\n{text}" for title, text in sections)]) + "\n"


def _fill(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), CARD_WIDTH, break_on_hyphens=False, break_long_words=False)


def _gives() -> str:
    return _fill(
        f"For every visit of a patient's timeline, the risk that the glioma recurs within {HORIZON_DAYS} days of it, "
        "from that visit and earlier ones only; the risk from that visit alone; the extremes of the ensemble's "
        "members; and a heatmap whose sum over the brain, with the background, is that risk's hazard."
    )


def _use(metadata: Mapping[str, Any]) -> str:
    return _fill(
        f"{metadata.get('intended_use', 'Research use only; never a diagnosis.')} For imaging scientists, for "
        "neuroradiologists doing research reads and for teachers of longitudinal assessment, who look at a treated "
        "patient's series of brain MRI. Not for deciding on any patient's care, and not for patients or families."
    )


def _population(metadata: Mapping[str, Any]) -> str:
    text = f"Trained on {metadata['trained_on']}."
    cohorts = metadata.get("simulated_cohorts") or []
    versions = ", ".join(metadata.get("simulator_versions") or [])
    if cohorts:
        drawn = "; ".join(_drawn(one) for one in cohorts)
        text += f" Drawn were {drawn}, training and validation together."
    if metadata.get("age_years"):
        low, high = metadata["age_years"]
        text += f" Ages at the first visit were {low:.1f} to {high:.1f} years."
    if anatomies := metadata.get("anatomies"):
        templates = " and ".join(name.upper() for name in anatomies)
        text += f" Every brain was made from {templates}{' alone' if len(anatomies) == 1 else ''}, deformed at random."
    if versions:
        text += (
            f" Simulator version {versions}: how anatomies, tumours, operations, treatment effects and scanners are "
            "made is written, with sources, in TemporalGliomaRisk/simulate/PHYSICS.md."
        )
    if only_simulated(metadata):
        text += " No child's image was used, and nothing here says how the model does on one."
    elif metadata["trained_on"] == SIMULATED:
        text += " Its weights began with those of a model that learnt from other patients, who are not described here."
    return _fill(text)


def _drawn(cohort: Mapping[str, Any]) -> str:
    text = (
        f"{cohort['patients']} patients of the population `{cohort['population']}` (simulator version "
        f"{cohort['simulator_version']}, seed {cohort['seed']}"
    )
    if cohort["recurrent_fraction"] is not None:
        how = "drawn by" if cohort["extent_hazard_ratios"] else "independent of"
        text += f", {cohort['recurrent_fraction']:.0%} destined to recur, fate {how} the extent of resection"
    return f"{text})"


def _endpoint(metadata: Mapping[str, Any]) -> str:
    growth = (
        "the first day on which true lesion growth passes 25 % in cross-section over the smallest so far and is at "
        "least 10 mm across (after RAPNO)."
    )
    told = "what the cohort's participants.tsv calls one (event_observed, follow_up_days)."
    what = f"An event is {growth if metadata.get('simulator_versions') else told}"
    if metadata.get("simulator_versions") and metadata["trained_on"] != SIMULATED:
        what = f"An event of a simulated patient is {growth} That of another is {told}"
    return _fill(
        f"{what} The risk at a visit is that of an event within {HORIZON_DAYS} days of it. Every visit before the "
        "event is one landmark row; visits on or after the event are never inputs."
    )


def _predictors(metadata: Mapping[str, Any]) -> str:
    sequences = metadata.get("sequences") or []
    grid = _run(metadata, "preprocessing", "grid_mm")
    at = "" if grid is None else f", each on a grid of {grid:g} mm and on the first visit's intensities"
    return _fill(
        f"The MRI of each visit so far: {', '.join(sequences) or NOT_RECORDED}, any of them{at}. Days since the first "
        "and the previous visit, and since treatment where known. No age, sex, extent of resection, histology or "
        "molecular marker."
    )


def _sample(metadata: Mapping[str, Any]) -> str:
    texts = []
    for part, what in (("training", "to learn from"), ("validation", "to stop by and to calibrate on")):
        if metadata.get(f"{part}_patients") is None:
            continue
        text = (
            f"{metadata[f'{part}_patients']} patients with {metadata[f'{part}_visits']} visits before the event {what}"
        )
        if metadata.get(f"{part}_events") is not None:
            text += (
                f" ({metadata[f'{part}_events']} of them with an event observed; "
                f"{metadata[f'{part}_rows_with_event']} visits with one within the horizon)"
            )
        texts.append(text)
    text = "; ".join(texts) + "." if texts else f"{NOT_RECORDED.capitalize()}."
    if metadata.get("trained_gaps_days"):
        low, high = metadata["trained_gaps_days"]
        text += f" Gaps between training visits were {low:.0f} to {high:.0f} days."
    if metadata.get("trained_visits"):
        text += f" A timeline had up to {metadata['trained_visits'][1]} visits."
    if metadata.get("follow_up_days"):
        low, median, high = metadata["follow_up_days"]
        text += f" Follow-up: median {median} days, 5th to 95th percentile {low} to {high}."
    return _fill(text + " Patients, never visits, were split into the parts.")


def _missing(metadata: Mapping[str, Any]) -> str:
    text = "A visit may lack any sequence but one; absent ones are told to the network as absent, never filled in, and "
    text += "visits are compared only in sequences that both have."
    shares = metadata.get("sequences_at_visits")
    if shares:
        text += f" Of the visits, {', '.join(f'{share:.0%} had {name}' for name, share in shares.items())}."
    if metadata.get("treatment_day_known") is not None:
        text += f" The day of treatment was known at {metadata['treatment_day_known']:.0%} of them."
    drop = (metadata.get("finetuning") or {}).get("drop_sequence_chance")
    if drop is not None:
        text += f" In fine-tuning a timeline was reduced to one sequence with chance {drop:g}."
    text += (
        " Patients whose follow-up ends without an event are censored: they count in the likelihood up to their last "
        "contact, and in evaluations by inverse probability of censoring."
    )
    return _fill(text)


def _training(metadata: Mapping[str, Any]) -> str:
    text = (
        "`evidence`: a shared 3-D encoder sees each sequence of each visit on its own; at every place a recurrence "
        "carries the comparisons with the first and the previous visit; local hazards add up over the brain."
    )
    if metadata.get("receptive_field_mm") is not None:
        text += f" Receptive field {metadata['receptive_field_mm']:.0f} mm."
    text += (
        " Pretrained on pairs of visits (which visit came first and, where a simulator's truth is there, where the "
        "lesion grew)"
    )
    updates, pairs = _run(metadata, "pretraining", "updates"), _run(metadata, "pretraining", "pairs_per_update")
    if updates is not None:
        text += f": {updates} updates of {pairs} pairs, seed {_run(metadata, 'pretraining', 'seed')}"
    begun = (metadata.get("run") or {}).get("begun_from")
    if begun:
        text += f", begun from weights of {begun['updates']} earlier updates (SHA-256 {begun['sha256'][:12]}...)"
    text += "." + _drawn_pairs(_run(metadata, "pretraining", "pairs") or {})
    text += " Then fine-tuned on timelines by the discrete-time likelihood with censoring, the encoder kept."
    if (metadata.get("finetuning") or {}).get("background_first"):
        text += " This began with the background, fitted to days and outcomes alone (learn/background.py)."
    implants = (metadata.get("finetuning") or {}).get("implants") or {}
    if share := implants.get("share"):
        again = "once more" if implants.get("each", 1) == 1 else f"{implants['each']} times more"
        text += (
            f" Of the training patients with several visits and no event {share:.0%} were learnt from {again}, with a "
            "lesion of any size and course laid in and the event that it means "
            "(TemporalGliomaRisk/learn/implanted_timelines.py)."
        )
    if heads := metadata.get("heads_begun_from"):
        text += f" The heads began with those of `{heads['name']}` (SHA-256 of its weights {heads['sha256'][:12]}...)."
    if (least := least_agreement(metadata.get("finetuning"))) > -1:
        text += (
            " Visits whose intensities are ordered unlike those of the patient's other visits (rank correlation under "
            f"{least:g}, TemporalGliomaRisk/learn/agreement.py) were neither learnt from by the heads nor calibrated on"
        )
        # Models of before this was counted have visits left out among those that stand under Sample size.
        left_out = metadata.get("visits_left_out")
        if left_out is not None:
            text += f": {left_out} visits, not counted under Sample size, though pretraining saw them"
        text += "."
    if metadata.get("members"):
        text += f" The ensemble has {metadata['members']} members."
    text += (
        " Members share the encoder and differ in seed and in a bootstrap of the training patients: their extremes are "
        "a spread, not a confidence interval."
    )
    notes = list(metadata.get("notes", []))
    if before := metadata.get("background_anew"):
        notes.append(
            f"All this made `{before}`. Its backgrounds were then fitted anew, to days and outcomes alone of the same "
            "training patients (TemporalGliomaRisk/learn/background.py) and stopped by those of the validation "
            "patients, and the calibration's constants with them; no other weight was changed."
        )
    return _fill(" ".join([text, *notes]))


def _drawn_pairs(pairs: Mapping[str, Any]) -> str:
    """What was added to the pairs of pretraining, beside another scanner and placement a visit."""
    text = ""
    if chance := (pairs.get("contrast") or {}).get("chance"):
        text += f" Of a pair's sequences {chance:.0%} were given another contrast, the same at both visits."
    implants = pairs.get("implants") or {}
    if chance := implants.get("chance"):
        # Models of before voids were laid in list no chance of them.
        voids = dict(zip(FATES, implants.get("fates", ()), strict=False)).get("void")
        text += (
            f" Into {chance:.0%} of the pairs a lesion was laid that appears, grows, stands still, fades or vanishes, "
            f"{'or a signal void, which is no growth, ' if voids else ''}of many more looks and sizes than the "
            "cohort's (TemporalGliomaRisk/learn/implants.py)."
        )
    return text


def _chosen(metadata: Mapping[str, Any]) -> str:
    settings = metadata.get("finetuning") or {}
    text = "Each head is that of the best validation likelihood"
    if settings:
        text += (
            f" of at most {settings['epochs']} passes over the training patients, stopped after {settings['patience']} "
            "passes without a better one"
        )
    less = ", less the visits left out" if least_agreement(metadata.get("finetuning")) > -1 else ""
    return _fill(
        f"{text}. The calibration's constants, the threshold of F1 and those of the warnings were set on the "
        f"validation patients as well{less}. No patient of another part or cohort is looked at for any of this."
    )


def _calibration(metadata: Mapping[str, Any], ensemble: Calibration, single: Calibration) -> str:
    text = (
        "Positive scaling only, so that maps still add up, by likelihood on the validation patients: background x "
        f"{ensemble.background_scale:.3f}, local terms x {ensemble.local_scale:.3f}; single-visit head x "
        f"{single.local_scale:.3f}."
    )
    text += "".join(f" {sentence}" for sentence in bounds_words(ensemble, single))
    threshold = metadata.get("f1_threshold")
    if threshold:
        text += (
            f" F1 calls an event from a risk of {threshold['risk']:.3f} on (single visit "
            f"{threshold['single_visit_risk']:.3f}): {threshold['definition']}."
        )
    return _fill(f"{text} What came of it on other patients stands under Results.")


def bounds_words(ensemble: Calibration, single: Calibration) -> list[str]:
    """What a reader must know of constants that the fit took as far as it may: a sentence each."""
    reached = dict(ensemble.bounds_reached)
    if end := single.bounds_reached.get("local terms"):
        reached["single-visit head"] = end
    silent = {("local terms", "low"): ": the images add next to nothing to the risks"}
    return [
        f"The constant of the {name} is as {end} as it may be, not where the likelihood wants it, as with few events "
        f"or little training{silent.get((name, end), '')}."
        for name, end in reached.items()
    ]


def _fairness(metadata: Mapping[str, Any]) -> str:
    text = (
        "AUROC, mean risk and observed share in groups that are the same for every model "
        "(TemporalGliomaRisk/evaluate/known_groups.py). Those marked exploratory, by what the model says of its own "
        "risk and by treatment effect, were named or defined anew after a model's figures had been seen; the others "
        "before this model was judged."
    )
    if only_simulated(metadata):
        text += " Simulated patients have no sex and no origin, so nothing can be said of either."
    return _fill(text)


def _limitations(metadata: Mapping[str, Any]) -> str:
    return "\n".join(
        textwrap.fill(f"- {one}", CARD_WIDTH, subsequent_indent="  ") for one in metadata.get("limits") or []
    )


def _reproduce(metadata: Mapping[str, Any]) -> str:
    text = _fill(
        f"Cite TemporalGliomaRisk and this model by its name `{metadata['name']}`, its version "
        f"{metadata.get('version', NOT_RECORDED)} and the SHA-256 that every audit.json names; the method is that of "
        "Tak D, et al. NEJM AI 2025;2(5):AIoa2400703. Every setting stands in configs/metadata.json (`run`, "
        "`finetuning`). The figures under Results are redone by the commands that stand with them; `make science` "
        "trains variants of the model anew, on patients of its own, and compares their risks in pairs."
    )
    commands = [simulate_command(one, "DIR") for one in metadata.get("simulated_cohorts") or []]
    lines = [command for command in commands if command]
    if not lines:
        return text
    return f"{text} The patients that it learnt from are made anew by:\n\n```sh\n" + "\n".join(lines) + "\n```"


def _run(metadata: Mapping[str, Any], stage: str, name: str) -> Any:
    return ((metadata.get("run") or {}).get(stage) or {}).get(name)
