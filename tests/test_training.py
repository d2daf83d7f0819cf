"""The SFT loop: settings that must be equivalent are, and what must not happen raises."""

import math

import numpy as np
import pytest
import torch

from loss_cases import summed_loss
from triaxis.axes.optimization import Recipe, Row, Training, batches_per_epoch, collate, order, pack
from triaxis.axes.optimization.batches import IGNORED
from triaxis.axes.optimization.optimizers import build_optimizers
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.types import RunFailed, TriaxisError

PAD = 0


def batcher(rows, size, micro, packing=False, seed=0):
    length = max(len(r.tokens) for r in rows)

    def of(step):
        members = [rows[i] for i in order(len(rows), size, step, seed)]
        parts = [members[i : i + micro] for i in range(0, len(members), micro)]
        return [pack(p, PAD, length) if packing else collate(p, PAD) for p in parts]

    return of


def train(make, rows, recipe, *, size=32, micro=32, packing=False):
    training = Training(make(), batcher(rows, size, micro, packing), recipe)
    points = [training.run_to(s) for s in range(1, recipe.steps + 1)]
    return training, points


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_accumulation_changes_nothing(tiny_model, token_rows, optimizer):
    # 81 rows: the last batch of an epoch holds 17, which neither 8 nor 4 divides.
    rows, recipe = token_rows(81), Recipe(steps=7, learning_rate=1e-3, optimizer=optimizer)
    whole, whole_points = train(tiny_model, rows, recipe)
    for micro in (8, 4):
        parts, points = train(tiny_model, rows, recipe, micro=micro)
        assert [p.tokens for p in points] == [p.tokens for p in whole_points]
        losses = np.array([[p.loss for p in points], [p.loss for p in whole_points]])
        # Muon orthogonalises in bfloat16, which turns a last-bit difference of a gradient into 1e-3 of an update.
        np.testing.assert_allclose(losses[0], losses[1], rtol=5e-4 if optimizer == "muon" else 1e-5)
        drift = (losses[0] - losses[1]) / losses[1]
        assert abs(drift.mean()) < (2e-4 if optimizer == "muon" else 2e-6)  # a bias would have one sign
        if optimizer != "muon":
            for a, b in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
                # Adam divides by the root of a tiny second moment, so single weights may differ by more than the loss.
                torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_the_ragged_last_batch_is_a_full_gradient(tiny_model, token_rows):
    rows = token_rows(5)
    model = tiny_model()
    loss, _ = summed_loss(model, collate(rows[4:], PAD))
    (loss / collate(rows[4:], PAD).supervised).backward()
    wanted = [p.grad.clone() for p in model.parameters()]
    training = Training(tiny_model(), batcher(rows, 4, 4), Recipe(steps=2, learning_rate=1e-9, gradient_clip=None))
    last = order(5, 4, 1, 0)
    assert len(last) == 1
    seen = []
    training.optimizers[0].register_step_pre_hook(
        lambda *_: seen.append([p.grad.clone() for p in training.module.parameters()])
    )
    training.batch_of = lambda step: [collate(rows[4:], PAD)]
    training.run_to(1)
    for got, want in zip(seen[0], wanted, strict=True):
        torch.testing.assert_close(got, want)


def test_packed_logits_equal_padded_logits(tiny_model, token_rows):
    rows, model = token_rows(20), tiny_model().eval()
    packed = pack(rows, PAD, 64)
    assert packed.input_ids.shape[0] < len(rows), "nothing was packed: the test would say nothing"
    with torch.no_grad():
        together = model(input_ids=packed.input_ids, position_ids=packed.positions, use_cache=False).logits
    starts = [(i, j) for i, j in (packed.positions == 0).nonzero().tolist() if packed.input_ids[i, j] != PAD]
    by_id = {r.id: r for r in rows}
    for row_id, (line, at) in zip(packed.ids, starts, strict=True):
        row = by_id[row_id]
        with torch.no_grad():
            alone = model(input_ids=torch.tensor([row.tokens])).logits[0]
        torch.testing.assert_close(together[line, at : at + len(row.tokens)], alone, rtol=1e-4, atol=1e-5)


def test_packing_keeps_steps_tokens_and_loss(tiny_model, token_rows):
    rows, recipe = token_rows(50), Recipe(steps=4, learning_rate=1e-3)
    _, padded = train(tiny_model, rows, recipe)
    _, packed = train(tiny_model, rows, recipe, packing=True)
    assert [p.tokens for p in padded] == [p.tokens for p in packed]
    np.testing.assert_allclose([p.loss for p in padded], [p.loss for p in packed], rtol=1e-5)
    np.testing.assert_allclose([p.token_accuracy for p in padded], [p.token_accuracy for p in packed], atol=0.02)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_interrupted_equals_uninterrupted(tiny_model, token_rows, optimizer, tmp_path):
    rows, recipe = token_rows(40), Recipe(steps=6, learning_rate=1e-3, optimizer=optimizer)
    straight, points = train(tiny_model, rows, recipe)
    first = Training(tiny_model(), batcher(rows, 32, 32), recipe)
    first.run_to(3)
    torch.save(first.state(), tmp_path / "state.pt")
    second = Training(tiny_model(), batcher(rows, 32, 32), recipe)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed = [second.run_to(s) for s in (4, 5, 6)]
    assert resumed == points[3:]
    for a, b in zip(straight.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_padding_is_not_seen(tiny_model, token_rows):
    rows, model = token_rows(8), tiny_model().eval()
    together = sum(summed_loss(model, collate([r], PAD))[0].item() for r in rows)
    loss, _ = summed_loss(model, collate(rows, PAD))
    assert loss.item() == pytest.approx(together, rel=1e-5)


def test_loss_and_token_accuracy_by_hand(tiny_model):
    row = Row("r", (5, 6, 7, 1), 2)
    model = tiny_model().eval()
    loss, correct = summed_loss(model, collate([row], PAD))
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=torch.tensor([row.tokens])).logits[0].double(), -1)
    assert loss.item() == pytest.approx(-float(logp[1, 7] + logp[2, 1]), rel=1e-5)
    assert correct == int(logp[1].argmax() == 7) + int(logp[2].argmax() == 1)


def test_a_row_without_loss_is_named():
    with pytest.raises(TriaxisError, match="row-17: no token carries loss"):
        Row("row-17", (3, 4, 5), 3)


def test_the_loss_covers_the_end_token_and_not_the_prompt():
    batch = collate([Row("a", (5, 6, 7, 1), 2), Row("b", (5, 6, 1), 1)], PAD)
    assert batch.labels.tolist() == [[IGNORED, IGNORED, 7, 1], [IGNORED, 6, 1, IGNORED]]
    assert batch.supervised == 4


def test_order_is_a_permutation_each_epoch_and_belongs_to_the_seed():
    steps = batches_per_epoch(10, 4)
    assert steps == 3
    first, second = ([i for s in range(e * 3, e * 3 + 3) for i in order(10, 4, s, 7)] for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert first != [i for s in range(3) for i in order(10, 4, s, 8)]


def test_a_packed_row_that_is_too_long_is_an_error_not_a_cut(token_rows):
    with pytest.raises(TriaxisError, match=r"row-0: .* do not fit lines of 4"):
        pack(token_rows(1), PAD, 4)


def test_schedules_by_hand():
    def at(schedule, step, **more):
        return rate_factor(Recipe(steps=100, learning_rate=1.0, schedule=schedule, warmup_ratio=0.1, **more), step)

    for schedule in ("constant", "linear", "cosine", "wsd"):
        assert at(schedule, 0) == pytest.approx(0.1) and at(schedule, 9) == 1.0
    assert at("constant", 99) == 1.0
    assert at("linear", 55) == pytest.approx(0.5)
    assert at("cosine", 55) == pytest.approx(0.5)
    assert at("cosine", 10 + 30) == pytest.approx(0.5 * (1 + math.cos(math.pi / 3)))
    assert at("wsd", 79) == 1.0 and at("wsd", 90) == pytest.approx(0.5)
    assert at("wsd", 80, decay_start=0.6, final_ratio=0.02) == pytest.approx(0.02 + 0.98 * 0.5)


def test_muon_never_touches_embeddings_or_heads(tiny_model):
    model = tiny_model()
    muon, adamw = build_optimizers(model, Recipe(steps=1, learning_rate=1e-3, optimizer="muon"))
    in_muon = {id(p) for g in muon.param_groups for p in g["params"]}
    in_adamw = {id(p) for g in adamw.param_groups for p in g["params"]}
    assert id(model.get_input_embeddings().weight) in in_adamw
    assert in_muon | in_adamw == {id(p) for p in model.parameters()} and not in_muon & in_adamw
    assert all(p.ndim == 2 for g in muon.param_groups for p in g["params"])


def test_weight_decay_leaves_norms_alone(tiny_model):
    [adamw] = build_optimizers(tiny_model(), Recipe(steps=1, learning_rate=1e-3, weight_decay=0.1))
    decayed = {g["weight_decay"]: {p.ndim for p in g["params"]} for g in adamw.param_groups}
    assert decayed == {0.1: {2}, 0.0: {1}}


def test_a_loss_that_is_not_finite_names_step_and_rows(tiny_model, token_rows):
    rows = token_rows(8)
    training = Training(tiny_model(), batcher(rows, 8, 8), Recipe(steps=3, learning_rate=1e-3))
    training.run_to(1)
    with torch.no_grad():
        training.module.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(RunFailed, match=r"step 2: the loss is nan; rows row-"):
        training.run_to(2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizer": "adam"}, "optimization.optimizer: 'adam'"),
        ({"schedule": "step"}, "optimization.schedule"),
        ({"steps": 0}, "optimization.steps"),
        ({"learning_rate": 0.0}, "optimization.learning_rate"),
        ({"learning_rate": float("nan")}, "optimization.learning_rate"),
        ({"warmup_ratio": 1.5}, "optimization.warmup_ratio"),
    ],
)
def test_impossible_recipes(change, words):
    with pytest.raises(TriaxisError, match=words):
        Recipe(**{"steps": 1, "learning_rate": 1e-3, **change})
