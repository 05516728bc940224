"""The model card: every fact from the metadata, several evaluations side by side."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from TemporalGliomaRisk import RESEARCH_USE_ONLY
from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.explain.sanity import HeatmapSanity, StageSanity
from TemporalGliomaRisk.learn.card import model_card
from TemporalGliomaRisk.learn.card_parts import DOUBT_ENDS, WRONG_BEGIN, WRONG_END, card_with, card_with_doubt, has_part
from TemporalGliomaRisk.learn.cohort_facts import cohort_facts, simulated_cohorts
from TemporalGliomaRisk.learn.export import caveat
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.calibration import Calibration

LEAST = {"name": "tiny", "caveat": "Research use only.", "trained_on": "a user's cohort"}
FULL = {
    **LEAST,
    "caveat": "Research use only, trained on simulated data.",
    "trained_on": "simulated data",
    "version": "0.7.1",
    "simulator_versions": ["4"],
    "simulated_cohorts": [
        {
            "population": "wide",
            "simulator_version": 4,
            "seed": 977,
            "recurrent_fraction": 0.45,
            "extent_hazard_ratios": False,
            "patients": 641,
            "first_patient": 11,
            "last_patient": 811,
        }
    ],
    "training_patients": 519,
    "training_visits": 2876,
    "training_events": 203,
    "training_rows_with_event": 390,
    "validation_patients": 121,
    "validation_visits": 610,
    "validation_events": 47,
    "validation_rows_with_event": 88,
    "trained_gaps_days": [14.0, 1117.0],
    "trained_visits": [1, 12],
    "follow_up_days": [130, 911, 2105],
    "sequences": ["FLAIR", "T2w"],
    "sequences_at_visits": {"FLAIR": 0.83, "T2w": 0.41},
    "treatment_day_known": 0.5,
    "age_years": [1.6, 17.9],
    "anatomies": ["mni152"],
    "members": 7,
    "finetuning": {"epochs": 31, "patience": 6, "drop_sequence_chance": 0.25},
    "receptive_field_mm": 32.0,
    "limits": ["It has learnt from what is named above and nothing else."],
    "f1_threshold": {"risk": 0.237, "single_visit_risk": 0.191, "definition": "the lowest risk of largest F1"},
    "run": {
        "pretraining": {"seed": 3, "updates": 4321, "pairs_per_update": 12},
        "preprocessing": {"grid_mm": 2.0},
        "begun_from": {"updates": 5000, "sha256": "0123456789abcdef"},
    },
}
SCALES = (Calibration(background_scale=0.666, local_scale=1.079), Calibration(background_scale=1.5, local_scale=1.5))


def test_the_sections_stand_in_the_order_of_tripod_ai() -> None:
    titles = re.findall(r"^## (.*)$", model_card(FULL, *SCALES), re.MULTILINE)

    assert titles == [
        *("What it gives", "Intended use and users", "Population", "Endpoint", "Predictors", "Sample size"),
        *("Missing data", "Model and training", "How the model was chosen", "Calibration", "Fairness and subgroups"),
        *("Limitations", "Results", "How to cite and to reproduce"),
    ]


def test_every_number_of_the_metadata_stands_in_the_card() -> None:
    card = " ".join(model_card(FULL, *SCALES).split())
    for fact in (
        *("641 patients of the population `wide`", "seed 977", "45% destined", "519 patients with 2876 visits"),
        *("203 of them", "390 visits", "121 patients with 610 visits", "14 to 1117 days", "up to 12 visits"),
        *(
            "median 911 days",
            "83% had FLAIR",
            "known at 50%",
            "1.6 to 17.9 years",
            "from MNI152 alone",
            "7 members",
            "at most 31 passes",
        ),
        *("32 mm", "risk of 0.237", "single visit 0.191", "4321 updates", "5000 earlier updates", "0.7.1"),
        *("background x 0.666", "local terms x 1.079", "head x 1.500", "--first-patient 11 --patients 801"),
    ):
        assert fact in card, fact


def test_constants_that_the_fit_took_to_their_bounds_are_told() -> None:
    ends = Calibration(background_scale=math.exp(5), local_scale=math.exp(-5))
    card = " ".join(model_card(FULL, ends, Calibration(background_scale=math.exp(5), local_scale=math.exp(5))).split())
    assert "background is as high as it may be" in card
    assert "local terms is as low as it may be" in card
    assert "the images add next to nothing to the risks." in card
    assert "single-visit head is as high as it may be" in card
    assert "as it may be" not in model_card(FULL, *SCALES)


def test_a_bundle_that_says_little_still_gets_a_card_without_empty_numbers() -> None:
    card = model_card(LEAST, *SCALES)

    assert "None" not in card
    assert "nan" not in card
    assert "participants.tsv calls one" in card
    assert "simulate --population" not in card


def test_the_card_does_not_say_that_make_science_redoes_its_figures() -> None:
    card = " ".join(model_card(FULL, *SCALES).split())

    assert "figures are redone by `make science`" not in card
    assert "The figures under Results are redone by the commands that stand with them" in card
    assert "The patients that it learnt from are made anew by: ```sh python -m TemporalGliomaRisk simulate" in card


def test_the_card_does_not_say_of_groups_thought_of_later_that_they_were_fixed_before() -> None:
    said = " ".join(model_card(FULL, *SCALES).partition("## Fairness")[2].partition("<!--")[0].split())

    assert "none is picked by its figures" not in said
    assert "by what the model says of its own risk and by treatment effect, were named or defined anew after" in said


def test_two_cohorts_stand_side_by_side_and_each_is_replaced_by_its_own_title() -> None:
    card = model_card(FULL, *SCALES)
    card = card_with(card, "evaluation", "Test patients", "FIGURES ONE")
    card = card_with(card, "evaluation", "Shifted population", "second")
    again = card_with(card, "evaluation", "Test patients", "third")

    assert "Not yet evaluated" not in card.partition("## Results")[2]
    assert again == card.replace("FIGURES ONE", "third")
    assert again.index("### Test patients") < again.index("### Shifted population")
    assert card_with(again, "evaluation", "Test patients", "third") == again
    assert again.partition("## Fairness")[2].partition("## Limitations")[0].count("Not yet evaluated") == 1


def test_an_old_card_s_untitled_results_give_way_and_it_has_no_part_for_subgroups() -> None:
    old = "# old\n\n## Results\n\n<!-- evaluation begins -->\n300 patients.\n<!-- evaluation ends -->\n"
    new = card_with(old, "evaluation", "Test patients", "400 patients.")

    assert "300" not in new
    assert "400 patients." in new
    assert not has_part(old, "subgroups")
    with pytest.raises(InputError, match="no markers for its subgroups"):
        card_with(old, "subgroups", "Test patients", "none")


@pytest.mark.parametrize("title", ["", " blank first", "a -->", "<b>", "x" * 61, "two\nlines", "../up"])
def test_a_title_that_markers_cannot_hold_is_refused(title: str) -> None:
    with pytest.raises(UsageError, match="A title is 1 to 60"):
        card_with(model_card(FULL, *SCALES), "evaluation", title, "text")


def test_facts_of_a_cohort_are_counted_by_patients_and_by_visits(make_stored) -> None:
    train, validation = [make_stored(1, visits=5), make_stored(2, grows=False)], [make_stored(3)]
    facts = cohort_facts(train, validation)

    assert (facts["training_events"], facts["validation_events"]) == (1, 1)
    # Five visits 100 days apart, the event 130 days after the last: 365 days hold the last three.
    assert facts["training_rows_with_event"] == 3
    assert facts["sequences_at_visits"] == {"FLAIR": 1.0, "T2w": 0.0, "T1w": 0.0, "ce-gd_T1w": 1.0}
    assert facts["age_years"] is None
    assert facts["simulated_cohorts"] == []


def test_patients_of_two_populations_are_two_cohorts() -> None:
    truths = [
        {"simulator_version": version, "seed": 5, "patient_number": number, "config": config}
        for version, number, config in ((1, 4, {}), (1, 2, {}), (4, 9, {"population": "wide"}))
    ]
    found = simulated_cohorts(truths)

    assert [(one["population"], one["patients"], one["first_patient"], one["last_patient"]) for one in found] == [
        *(("main", 2, 2, 4), ("wide", 1, 9, 9)),
    ]


def test_the_card_says_which_visits_were_left_out_only_where_some_were() -> None:
    def card(**more: float) -> str:
        return " ".join(model_card({**FULL, "finetuning": {**FULL["finetuning"], **more}}, *SCALES).split())

    assert "(rank correlation under 0.6, TemporalGliomaRisk/learn/agreement.py)" in card(least_agreement=0.6)
    assert "rank correlation" not in card() + card(least_agreement=-1.0)
    assert "validation patients as well, less the visits left out." in card(least_agreement=0.6)
    assert "validation patients as well." in card(least_agreement=-1.0)


def test_the_card_says_what_was_laid_into_pairs_and_timelines_of_voids_only_where_there_were_some() -> None:
    def card(fates: tuple[float, ...]) -> str:
        pairs = {"implants": {"chance": 0.4, "fates": fates}}
        run = {"pretraining": {**FULL["run"]["pretraining"], "pairs": pairs}}
        finetuning = {**FULL["finetuning"], "implants": {"share": 0.3}}
        return " ".join(model_card({**FULL, "run": run, "finetuning": finetuning}, *SCALES).split())

    assert "Into 40% of the pairs a lesion was laid" in card((0.4, 0.2, 0.2, 0.1, 0.1))
    assert "signal void" not in card((0.4, 0.2, 0.2, 0.1, 0.1))
    assert "or a signal void, which is no growth," in card((0.4, 0.2, 0.1, 0.1, 0.1, 0.1))
    assert "no event 30% were learnt from once more" in card(())


@pytest.mark.parametrize(("correlation", "is_said"), [(0.43, True), (0.11, False)])
def test_the_card_says_it_where_maps_of_random_weights_resemble_the_model_s(correlation: float, is_said: bool) -> None:
    stages = tuple(
        StageSanity(randomised=what, correlation=value, correlation_low=0.0, correlation_high=0.5, top_overlap=0.02)
        for what, value in (("heads", 0.02), ("every weight", correlation))
    )
    sanity = HeatmapSanity(stages=stages, members_correlation=0.7, members_top_overlap=0.5, visits=4, seeds=2)
    card = " ".join(card_with_doubt(model_card(FULL, *SCALES), None, sanity).split())

    assert ("Over the whole brain they do where every weight is random" in card) == is_said


def test_of_a_model_that_learnt_from_real_patients_too_nothing_is_said_that_holds_of_simulated_ones_alone() -> None:
    both = model_card({**FULL, "trained_on": "a user's cohort and simulated data"}, *SCALES)
    begun = [{"split": None, "cohorts_sha256": ["0"], "simulated_cohorts": []}]
    went_on = model_card({**FULL, "learnt_from": begun}, *SCALES)
    for card in (both, went_on):
        assert "No child's image was used" not in card
        assert "have no sex" not in card
    assert "An event of a simulated patient is the first day" in both
    assert "That of another is what the cohort's participants.tsv calls one" in " ".join(both.split())
    assert "Its weights began with those of a model that learnt from other patients" in " ".join(went_on.split())
    assert "No child's image was used" in " ".join(model_card(FULL, *SCALES).split())
    assert caveat(FULL) == RESEARCH_USE_ONLY
    for other in ({"trained_on": "a user's cohort and simulated data"}, {"learnt_from": begun}):
        assert caveat({**FULL, **other}) == "Research use only."


@pytest.mark.parametrize(("visits", "said"), [(98, "farthest of 98 visits, too few"), (99, "all but 1% of 99 visits")])
def test_no_rate_is_promised_that_so_few_visits_cannot_give(visits: int, said: str) -> None:
    shipped = load_bundle(resource_path(DEFAULT_MODEL))
    assert shipped.doubt is not None
    doubt, sanity = replace(shipped.doubt, validation_visits=visits), shipped.heatmap_sanity
    first = card_with_doubt(model_card(FULL, *SCALES), doubt, sanity)
    assert said in " ".join(first.split())
    # What wrong inputs did by thresholds of before is no account of new ones.
    measured = first.replace(DOUBT_ENDS, f"{DOUBT_ENDS}\n\n{WRONG_BEGIN}\nwarned above 4.6\n{WRONG_END}")
    assert card_with_doubt(measured, doubt, sanity) == first
