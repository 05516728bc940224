"""Several processes that train together: real ones, started by torchrun on the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, UpdateBatches, pretrain
from TemporalGliomaRisk.learn.ranks import ALONE, Ranks, joined

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from TemporalGliomaRisk.learn.ranks import joined

with joined("cpu") as ranks:
    network = nn.Linear(2, 1)
    if ranks.first:
        network.weight.grad = torch.tensor([[1.0, 2.0]])
    else:
        network.weight.grad, network.bias.grad = torch.tensor([[3.0, 8.0]]), torch.tensor([4.0])
    ranks.average_gradients(network)
    found = [network.weight.grad.tolist(), network.bias.grad.tolist(), ranks.world]
    (Path(sys.argv[1]) / f"{ranks.rank}.json").write_text(json.dumps(found))
"""


def test_every_process_holds_the_mean_of_all_gradients(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *together, str(script), str(tmp_path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    found = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert found == [[[[2.0, 5.0]], [2.0], 2]] * 2


def test_a_process_alone_keeps_its_gradients() -> None:
    network = torch.nn.Linear(2, 1)
    network.weight.grad = torch.ones(1, 2)
    with joined("cpu") as ranks:
        ranks.average_gradients(network)
    assert network.weight.grad.tolist() == [[1.0, 1.0]]
    assert network.bias.grad is None


def test_ranks_share_an_update_and_draw_other_pairs() -> None:
    class Told:
        def draw(self, count, random):
            return count, random.initial_seed()

    config = PretrainConfig(pairs_per_update=12, updates=5)
    drawn = [UpdateBatches(Told(), config, 2, Ranks(rank=rank, world=3))[1] for rank in range(3)]
    assert [count for count, _ in drawn] == [4, 4, 4]
    assert len({seed for _, seed in drawn}) == 3
    assert UpdateBatches(Told(), config, 2, ALONE)[1] == (12, drawn[0][1])


def test_pairs_that_cannot_be_shared_evenly_are_refused(make_stored, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 processes cannot share 10 pairs"):
        pretrain(
            [make_stored(1)],
            [make_stored(2)],
            tmp_path,
            model_config=EvidenceConfig(),
            config=PretrainConfig(pairs_per_update=10),
            ranks=Ranks(world=3),
        )
