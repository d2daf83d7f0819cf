"""Our loop beside transformers' Trainer and TRL's SFTTrainer: the same rows in the same order give the same losses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import parity

from triaxis.axes.optimization import Recipe
from triaxis.axes.optimization.schedules import rate_factor

BASE, ROWS, BATCH, STEPS = "lab:weak", 30, 8, 12  # the last batch of an epoch holds 6 rows; three epochs


@pytest.fixture(scope="module")
def rows():
    torch.set_num_threads(1)
    return parity.rows_of(BASE, ROWS)


@pytest.fixture(scope="module")
def recipe():
    return Recipe(STEPS, 3e-4, schedule="linear", warmup_ratio=0.0)


@pytest.fixture(scope="module")
def curve(rows, recipe):
    return parity.ours(BASE, rows, recipe, BATCH, BATCH)


@pytest.mark.parametrize("micro", [1, 4, 8])
def test_trainer_agrees_to_rounding(rows, recipe, curve, micro):
    """4 divides no ragged batch of 6 into equal parts: micro-batches of 4 and 2 rows weigh by their tokens."""
    _, every, drift = parity.compared(parity.theirs(BASE, rows, recipe, BATCH, micro, kind="trainer"), curve)
    assert every < 5e-6 and abs(drift) < 1e-6


@pytest.mark.parametrize("micro", [1, 8])
def test_sft_trainer_agrees_to_the_rounding_of_its_head(rows, recipe, curve, micro):
    """Its head takes log p as a logit less a log-sum: rounded at the size of the logits, however small the loss is."""
    pytest.importorskip("trl")
    theirs = np.array(parity.theirs(BASE, rows, recipe, BATCH, micro))
    assert abs(theirs - curve).max() < 1e-6  # nats
    assert parity.compared(theirs, curve)[1] < 1e-4


def test_a_mean_of_means_is_another_loss(rows, recipe, curve):
    """The comparison can fail: where nobody counts a batch's tokens each micro-batch weighs the same."""
    _, every, _ = parity.compared(parity.theirs(BASE, rows, recipe, BATCH, 4, kind="trainer", counts=False), curve)
    assert every > 1e-2


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_their_warm_up_loses_the_first_update(schedule):
    """transformers' warm-up begins at a rate of 0; ours never does (docs/trainers.md)."""
    from transformers import get_scheduler

    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    rates = get_scheduler(schedule, optimizer, 4, 16)
    theirs = []
    for _ in range(16):
        theirs.append(rates.get_last_lr()[0])
        optimizer.step()
        rates.step()
    ours = [rate_factor(Recipe(16, 1.0, schedule=schedule, warmup_ratio=0.25), step) for step in range(16)]
    assert theirs[0] == 0 and ours[:4] == [0.25, 0.5, 0.75, 1.0] and theirs[1:4] == ours[:3]
    np.testing.assert_allclose(theirs[4:], ours[4:])


TWO = """
import sys
sys.path.insert(0, {benchmarks!r})
import parity
from triaxis.axes.optimization import Recipe
rows, recipe = parity.rows_of("lab:weak", 30), Recipe(4, 3e-4, schedule="linear", warmup_ratio=0.0)
losses = parity.theirs("lab:weak", rows, recipe, 4, 4, kind="trainer", ddp_backend="gloo")
open(sys.argv[1], "a").write("".join(f"{{loss!r}}\\n" for loss in losses))
"""


@pytest.mark.slow
def test_two_processes_agree_until_the_ragged_batch(tmp_path, rows, recipe):
    """accelerate fills the last batch with the first rows of the epoch, so that each process has as many: 8, not 6."""
    (tmp_path / "train.py").write_text(TWO.format(benchmarks=str(Path(parity.__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29619"]
    done = subprocess.run(
        [*command, str(tmp_path / "train.py"), str(tmp_path / "losses")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = sorted({float(line) for line in (tmp_path / "losses").read_text().split()})
    ours = parity.ours(BASE, rows, Recipe(4, 3e-4, schedule="linear", warmup_ratio=0.0), BATCH, BATCH)
    near = [min(abs(loss - other) / other for loss in theirs) for other in ours]
    assert max(near[:3]) < 5e-6 and near[3] > 1e-3
