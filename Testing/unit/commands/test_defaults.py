"""Commands import nothing heavy for their help, so their defaults stand there once more: they are the settings' own."""

from __future__ import annotations

import argparse
import importlib

import pytest

from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.learn.finetune import FinetuneConfig
from TemporalGliomaRisk.learn.finetune_reference import ReferenceTrainingConfig
from TemporalGliomaRisk.learn.pretrain import PretrainConfig
from TemporalGliomaRisk.learn.run_folder import SplitConfig

HEADS, PAIRS = FinetuneConfig(), PretrainConfig()


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"TemporalGliomaRisk.commands.{command}").add_arguments(parser)
    return parser


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (
            "pretrain",
            {
                "seed": PAIRS.seed,
                "updates": PAIRS.updates,
                "pairs": PAIRS.pairs_per_update,
                "learning_rate": PAIRS.learning_rate,
                "order_weight": PAIRS.order_weight,
                "validate_every": PAIRS.validate_every,
                "validation_pairs": PAIRS.validation_pairs,
                "bfloat16": PAIRS.bfloat16,
                "fractions": SplitConfig().fractions,
            },
        ),
        (
            "finetune",
            {
                "seed": HEADS.seed,
                "epochs": HEADS.epochs,
                "place_weight": HEADS.place_weight,
                "least_agreement": HEADS.least_agreement,
                "implants": HEADS.implants.share,
                "implants_each": HEADS.implants.each,
                "learning_rate": HEADS.learning_rate,
                "places": HEADS.sampling.foremost + HEADS.sampling.sampled,
                "pooling": ReferenceTrainingConfig().pooling,
            },
        ),
        ("evaluate", {"resamples": BootstrapConfig().resamples}),
    ],
)
def test_what_a_command_takes_if_nothing_is_said_is_what_its_settings_say(
    command: str, settings: dict[str, object]
) -> None:
    parser = parser_of(command)
    assert {name: parser.get_default(name) for name in settings} == settings


def test_the_help_tells_the_sizes_that_the_network_has_if_nothing_is_said() -> None:
    text = " ".join(parser_of("pretrain").format_help().split())
    sizes = EvidenceConfig()
    assert sizes.feature_channels == sizes.comparison_channels
    for size in (sizes.feature_channels, sizes.convolutions):
        assert f"(default {size}, or as what it starts from" in text


@pytest.mark.parametrize("size", ["0", "-3", "2.5", "many"])
def test_a_size_that_is_no_whole_number_is_refused_in_words(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser_of("pretrain").parse_args(["--channels", size])
    assert f"wanted a whole number of at least 1, got {size}" in capsys.readouterr().err
