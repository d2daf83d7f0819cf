"""Optimizers, schedules and losses: known answers, settings that must be equivalent, and bad settings in one line."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ArceeConfig, ArceeForCausalLM, Gemma2Config, Gemma2ForCausalLM, get_inverse_sqrt_schedule

from test_training import PAD, batcher, train
from triaxis.axes.optimization import Recipe, Training, collate, losses, pack
from triaxis.axes.optimization.lion import Lion
from triaxis.axes.optimization.losses import summed
from triaxis.axes.optimization.optimizers import build_optimizers, set_rate
from triaxis.axes.optimization.recipe import LOSSES, OPTIMIZERS, SCHEDULES
from triaxis.axes.optimization.sam import perturbed
from triaxis.axes.optimization.schedules import rate_factor
from triaxis.execute.conduct import job_of
from triaxis.execute.run import recipe as recipe_of
from triaxis.study import parse_study
from triaxis.study.axes import Optimization
from triaxis.study.ids import LATER
from triaxis.types import TriaxisError

START = [[0.5, -1.0, 2.0], [1.5, 0.0, -0.25]]
SLOPES = ([[0.2, -0.4, 0.1], [0.0, 0.3, -0.6]], [[-0.3, 0.1, 0.2], [0.5, -0.2, 0.4]])


def stepped(optimizer, rate=0.1, decay=0.2):
    """A matrix after two steps of an optimizer over given gradients."""
    module = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(START))
    built = build_optimizers(module, Recipe(steps=2, learning_rate=rate, optimizer=optimizer, weight_decay=decay))
    for slope in SLOPES:
        module.weight.grad = torch.tensor(slope)
        for each in built:
            each.step()
    return module.weight.detach().double().numpy()


# --- one step of each optimizer, from its paper ----------------------------------------------------------------------


def adamw(w, slopes, rate, decay):
    """arXiv:1711.05101, algorithm 2."""
    m = v = 0.0
    for t, g in enumerate(slopes, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - rate * decay * w
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def sgd(w, slopes, rate, decay):
    """Heavy ball; the decay is part of the gradient."""
    m = 0.0
    for g in slopes:
        m = 0.9 * m + g + decay * w
        w = w - rate * m
    return w


def lion(w, slopes, rate, decay):
    """arXiv:2302.06675, algorithm 2."""
    m = np.zeros_like(w)
    for g in slopes:
        update = np.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
        w = w - rate * (update + decay * w)
    return w


def adafactor(w, slopes, rate, decay):
    """arXiv:1804.04235, algorithm 4, with the rate as the largest relative step and decoupled decay."""
    rows, columns = np.zeros((w.shape[0], 1)), np.zeros((1, w.shape[1]))
    for t, g in enumerate(slopes, 1):
        new = t**-0.8
        size = max(1e-3, np.sqrt((w**2).mean())) * min(rate, t**-0.5)
        rows = (1 - new) * rows + new * (g**2).mean(1, keepdims=True)
        columns = (1 - new) * columns + new * (g**2).mean(0, keepdims=True)
        update = g / np.sqrt(rows * columns / rows.mean())
        w = w * (1 - rate * decay) - size * update / max(1.0, np.sqrt((update**2).mean()))
    return w


@pytest.mark.parametrize("by_hand", [adamw, sgd, lion, adafactor], ids=lambda f: f.__name__)
def test_two_steps_by_hand(by_hand):
    wanted = by_hand(np.array(START), [np.array(s) for s in SLOPES], 0.1, 0.2)
    np.testing.assert_allclose(stepped(by_hand.__name__), wanted, rtol=1e-5, atol=1e-6)


def test_muon_moves_along_the_nearest_orthogonal_matrix():
    """lr .2 sqrt(longer side) U V' (arXiv:2502.16982, eq. 4); five Newton-Schulz steps give U S V', S near 1."""
    module = nn.Linear(3, 2, bias=False)
    before = module.weight.detach().clone()
    recipe = Recipe(steps=1, learning_rate=0.1, optimizer="muon", weight_decay=0.0)
    muon, _ = build_optimizers(module, recipe)
    slope = torch.tensor(SLOPES[0])
    module.weight.grad = slope.clone()
    muon.step()
    u, _, vh = torch.linalg.svd(slope, full_matrices=False)
    moved = (before - module.weight.detach()) / (0.1 * 0.2 * math.sqrt(3))
    found = torch.linalg.svdvals(moved)
    assert ((found > 0.6) & (found < 1.3)).all()
    along = u.T @ moved @ vh.T  # diagonal where the directions are those of the gradient
    assert (along - along.diag().diag()).abs().max() < 0.02


def test_every_optimizer_has_all_parameters_once_and_leaves_norms_undecayed(tiny_model):
    for name in OPTIMIZERS:
        model = tiny_model()
        built = build_optimizers(model, Recipe(steps=1, learning_rate=1e-3, optimizer=name, weight_decay=0.1))
        groups = [group for optimizer in built for group in optimizer.param_groups]
        assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in model.parameters())
        assert all(g["weight_decay"] == (0.1 if p.ndim > 1 else 0.0) for g in groups for p in g["params"])
        set_rate(built, 0.25)
        assert {g["lr"] for g in groups} == {0.25}


def test_lion_passes_over_parameters_without_gradient():
    module = nn.Linear(2, 2)
    lion = Lion([{"params": list(module.parameters())}], lr=0.1)
    before = module.bias.detach().clone()
    module.weight.grad = torch.ones(2, 2)
    lion.step()
    assert torch.equal(module.bias, before) and list(lion.state) == [module.weight]


# --- sharpness-aware minimization -----------------------------------------------------------------------------------


def test_a_sam_step_by_hand():
    """On f = (a w1^2 + b w2^2) / 2 the gradient at w + rho g / |g| is known, and SGD takes it."""
    w = nn.Parameter(torch.tensor([[3.0, -1.0]]))
    curve = torch.tensor([2.0, 4.0])
    g = np.array([6.0, -4.0])
    up = np.array([3.0, -1.0]) + 0.5 * g / np.hypot(*g)
    (curve * w**2 / 2).sum().backward()
    with perturbed([w], 0.5):
        np.testing.assert_allclose(w.detach().numpy()[0], up, rtol=1e-6)
        assert w.grad is None
        (curve * w**2 / 2).sum().backward()
    assert w.tolist() == [[3.0, -1.0]]  # to the bit
    np.testing.assert_allclose(w.grad.numpy()[0], np.array([2.0, 4.0]) * up, rtol=1e-6)


def test_sam_with_no_gradient_moves_nothing_and_gives_the_weights_back_after_an_error():
    w = nn.Parameter(torch.ones(1, 2))
    w.grad = torch.zeros(1, 2)
    with perturbed([w], 0.5):
        assert torch.isfinite(w).all() and torch.equal(w, torch.ones(1, 2))
    w.grad = torch.ones(1, 2)
    with pytest.raises(RuntimeError, match="out of memory"), perturbed([w], 0.5):
        raise RuntimeError("out of memory")
    assert torch.equal(w, torch.ones(1, 2))


def test_sam_reports_the_loss_of_the_weights_and_counts_the_data_once(tiny_model, token_rows):
    rows = token_rows(16)
    plain = Recipe(steps=1, learning_rate=1e-3)
    _, [without] = train(tiny_model, rows, plain, size=16, micro=16)
    _, [sam] = train(tiny_model, rows, replace(plain, sam_rho=0.1), size=16, micro=16)
    assert sam == without  # the first pass is at the weights themselves
    assert plain.passes == 1 and replace(plain, sam_rho=0.1).passes == 2


def test_sam_goes_twice_over_every_micro_batch(tiny_model, token_rows):
    rows, model, calls = token_rows(12), tiny_model(), []
    model.register_forward_pre_hook(lambda *_: calls.append(model.lm_head.weight.detach().sum().item()))
    Training(model, batcher(rows, 12, 4), Recipe(steps=1, learning_rate=1e-3, sam_rho=0.1)).run_to(1)
    assert len(calls) == 6 and len(set(calls[:3])) == len(set(calls[3:])) == 1 and calls[0] != calls[3]


def test_sam_ends_where_it_is_flatter():
    """Two minima of the same depth, one sharp, at the same distance: SGD goes to either, SAM leaves the sharp one."""

    def depth(w):
        return torch.minimum(200 * (w + 1) ** 2, 2 * (w - 1) ** 2).sum()

    def end(rho):
        w = nn.Parameter(torch.tensor([[-0.95]]))
        for _ in range(200):
            w.grad = None
            depth(w).backward()
            if rho:
                with perturbed([w], rho):
                    depth(w).backward()
            with torch.no_grad():
                w.sub_(w.grad * 0.002)
        return w.item()

    assert end(0.0) == pytest.approx(-1, abs=0.01)
    assert end(1.5) > 0


# --- what must change nothing ----------------------------------------------------------------------------------------

AXES = [{"optimizer": name} for name in OPTIMIZERS] + [{"optimizer": name, "sam_rho": 0.05} for name in OPTIMIZERS]


def shown(change):
    return ",".join(f"{key}={value}" for key, value in change.items()) or "default"


@pytest.mark.parametrize("change", AXES, ids=shown)
def test_interrupted_equals_uninterrupted(tiny_model, token_rows, change, tmp_path):
    rows, recipe = token_rows(20), Recipe(steps=6, learning_rate=1e-3, **change)
    straight, points = train(tiny_model, rows, recipe, size=8, micro=4)
    first = Training(tiny_model(), batcher(rows, 8, 4), recipe)
    first.run_to(3)
    torch.save(first.state(), tmp_path / "state.pt")
    second = Training(tiny_model(), batcher(rows, 8, 4), recipe)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [second.run_to(s) for s in (4, 5, 6)] == points[3:]
    for a, b in zip(straight.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_in_bfloat16_take_the_steps_of_float32(name):
    """Each step is far below what bfloat16 can add to a weight: none of them moved it, however many there were."""
    torch.manual_seed(0)
    start, gradient = torch.randn(8, 6).bfloat16(), 1e-4 * torch.randn(8, 6)

    def end(dtype):
        module = nn.Linear(6, 8, bias=False, dtype=dtype)
        with torch.no_grad():
            module.weight.copy_(start)
        optimizers = build_optimizers(module, Recipe(steps=9, learning_rate=1e-5, optimizer=name))
        for step in range(300):
            module.weight.grad = (gradient * (1 if step else 100)).bfloat16().to(dtype)  # a large one, to be forgotten
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            assert module.weight.grad is None
        return module.weight.detach()

    assert torch.equal(end(torch.bfloat16), end(torch.float32).bfloat16())
    assert name == "sgd" or not torch.equal(end(torch.bfloat16), start)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_interrupted_equals_uninterrupted_in_bfloat16(tiny_model, token_rows, name, tmp_path):
    rows, recipe = token_rows(20), Recipe(steps=6, learning_rate=1e-4, optimizer=name)
    made = [Training(tiny_model().bfloat16(), batcher(rows, 8, 4), recipe) for _ in range(3)]
    points = [made[0].run_to(step) for step in (3, 6)]
    made[1].run_to(3)
    torch.save(made[1].state(), tmp_path / "state.pt")
    made[2].restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert made[2].run_to(6) == points[1]
    for a, b in zip(made[0].module.parameters(), made[2].module.parameters(), strict=True):
        assert torch.equal(a, b)


OBJECTIVES = [{"loss": kind, "label_smoothing": share} for kind in LOSSES for share in (0.0, 0.1)]


@pytest.mark.parametrize("change", [*OBJECTIVES, {"sam_rho": 0.05}, {"sam_rho": 0.05, "loss": "dft"}], ids=shown)
def test_accumulation_changes_no_loss(tiny_model, token_rows, change):
    """1 x 8 = 2 x 4 = 8 x 1 over 20 steps; 42 rows, so that the last batch of an epoch holds 2."""
    rows, recipe = token_rows(42), Recipe(steps=20, learning_rate=1e-3, **change)
    whole, points = train(tiny_model, rows, recipe, size=8, micro=8)
    for micro in (4, 1):
        parts, others = train(tiny_model, rows, recipe, size=8, micro=micro)
        ratio = np.array([p.loss for p in others]) / np.array([p.loss for p in points])
        np.testing.assert_allclose(ratio, 1, rtol=1e-5)
        assert abs(ratio.mean() - 1) < 2e-6  # a bias would have one sign
        for a, b in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("change", AXES, ids=shown)
def test_accumulation_changes_no_optimizer(tiny_model, token_rows, change):
    # Lion takes the sign, and Muon bfloat16, of what differs in the last bit: a few weights go another way.
    rtol = {"lion": 5e-4, "muon": 1e-3}.get(change["optimizer"], 1e-5)
    rows, recipe = token_rows(26), Recipe(steps=8, learning_rate=1e-3, **change)
    points = [train(tiny_model, rows, recipe, size=8, micro=micro)[1] for micro in (8, 1)]
    ones, others = (np.array([p.loss for p in each]) for each in points)
    np.testing.assert_allclose(ones, others, rtol=rtol)
    assert abs((ones / others).mean() - 1) < rtol / 4


@pytest.mark.parametrize("change", [*OBJECTIVES, {"sam_rho": 0.05}, {"optimizer": "adafactor"}], ids=shown)
def test_packing_changes_nothing(tiny_model, token_rows, change):
    rows, recipe = token_rows(40), Recipe(steps=5, learning_rate=1e-3, **change)
    padded, ones = train(tiny_model, rows, recipe, size=20, micro=10)
    packed, others = train(tiny_model, rows, recipe, size=20, micro=10, packing=True)
    np.testing.assert_allclose([p.loss for p in ones], [p.loss for p in others], rtol=1e-5)
    for a, b in zip(padded.module.parameters(), packed.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", OBJECTIVES, ids=shown)
def test_losses_and_their_gradients_by_hand(change):
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]], requires_grad=True)
    wanted = torch.tensor([1, 0])
    got = losses._of_logits(logits, wanted, change["loss"], change["label_smoothing"])
    got.objective.backward()
    p = torch.softmax(logits.detach().double(), -1)
    share = change["label_smoothing"]
    target = (1 - share) * torch.eye(3, dtype=torch.float64)[wanted] + share / 3
    weight = p[[0, 1], wanted] if change["loss"] == "dft" else torch.ones(2, dtype=torch.float64)
    each = -(target * p.log()).sum(-1)
    assert got.objective.item() == pytest.approx((weight * each).sum().item(), rel=1e-6)
    assert got.cross_entropy.item() == pytest.approx(-p[[0, 1], wanted].log().sum().item(), rel=1e-6)
    assert int(got.correct) == 1
    # Of softmax cross-entropy it is p - target; the weight is a constant to it.
    torch.testing.assert_close(logits.grad, (weight[:, None] * (p - target)).float(), rtol=1e-5, atol=1e-6)


def test_a_checkpoint_tells_the_cross_entropy_whatever_is_minimised(tiny_model, token_rows):
    rows = token_rows(8)
    points = [
        train(tiny_model, rows, Recipe(steps=1, learning_rate=1e-3, **change), size=8)[1][0].loss
        for change in OBJECTIVES
    ]
    np.testing.assert_allclose(points, points[0], rtol=1e-6)


def big(tied=True, dtype=torch.float32, **more):
    torch.manual_seed(0)
    config = ArceeConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        **more,
    )
    return ArceeForCausalLM(config).to(dtype)


def both_ways(monkeypatch, make, batch, change):
    """Sums and gradients with all logits at once, then in chunks of three positions."""
    found = []
    for limit in (2**40, 3 * 300):
        monkeypatch.setattr(losses, "LOGITS_AT_ONCE", limit)
        model, widths = make(), []
        model.get_output_embeddings().register_forward_hook(lambda _m, _i, out, to=widths: to.append(out.shape[:-1]))
        sums = summed(model, batch, **change)
        sums.objective.backward()
        found.append((sums, [p.grad for p in model.parameters()], widths))
    return found


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("change", OBJECTIVES, ids=shown)
def test_chunks_equal_all_at_once(monkeypatch, token_rows, change, tied, packing):
    rows = token_rows(6)
    batch = pack(rows, PAD, 64) if packing else collate(rows, PAD)
    (plain, slopes, _), (chunked, others, widths) = both_ways(monkeypatch, lambda: big(tied), batch, change)
    assert max(math.prod(w) for w in widths[3:]) <= 3 < batch.supervised, "there were no chunks"
    torch.testing.assert_close(chunked.objective, plain.objective, rtol=1e-6, atol=0)
    torch.testing.assert_close(chunked.cross_entropy, plain.cross_entropy, rtol=1e-6, atol=0)
    assert int(chunked.correct) == int(plain.correct)
    assert not chunked.cross_entropy.requires_grad
    for one, other in zip(slopes, others, strict=True):
        assert (other - one).abs().max() < 1e-5 * one.abs().max()


def test_chunks_train_as_all_at_once_does(monkeypatch, token_rows):
    rows, recipe = token_rows(20), Recipe(steps=20, learning_rate=1e-3, sam_rho=0.05)
    _, points = train(big, rows, recipe, size=8, micro=4)
    monkeypatch.setattr(losses, "LOGITS_AT_ONCE", 900)
    _, others = train(big, rows, recipe, size=8, micro=4)
    np.testing.assert_allclose([p.loss for p in others], [p.loss for p in points], rtol=1e-5)


def test_chunks_of_a_model_in_bfloat16_round_as_it_does(monkeypatch, token_rows):
    batch = collate(token_rows(6), PAD)
    (plain, _, _), (chunked, _, _) = both_ways(monkeypatch, lambda: big(dtype=torch.bfloat16), batch, {})
    torch.testing.assert_close(chunked.objective, plain.objective, rtol=1e-5, atol=0)
    assert chunked.objective.dtype == torch.float32


def test_without_gradient_chunks_keep_nothing(monkeypatch, token_rows):
    monkeypatch.setattr(losses, "LOGITS_AT_ONCE", 900)
    with torch.no_grad():
        chunked = summed(big(), collate(token_rows(6), PAD))
    assert not chunked.objective.requires_grad


def test_a_model_that_caps_its_logits_is_not_chunked(monkeypatch, token_rows):
    """Its logits aren't what its head gives, so that chunks of the head's output would be another loss."""

    def capped():
        torch.manual_seed(0)
        config = Gemma2Config(
            vocab_size=300,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=128,
            final_logit_softcapping=0.1,
            pad_token_id=0,
        )
        return Gemma2ForCausalLM(config)

    batch = collate(token_rows(6), PAD)
    (plain, slopes, _), (same, others, _) = both_ways(monkeypatch, capped, batch, {})
    assert torch.equal(plain.objective, same.objective)
    assert all(torch.equal(a, b) for a, b in zip(slopes, others, strict=True))


# --- schedules -------------------------------------------------------------------------------------------------------


def curve(schedule, steps=100, **more):
    recipe = Recipe(steps=steps, learning_rate=1.0, schedule=schedule, **more)
    return np.array([rate_factor(recipe, step) for step in range(steps + 1)])  # the last is after the end


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("final", [0.05, 0.4])
def test_the_ends_of_every_schedule(schedule, warmup, final):
    rates = curve(schedule, warmup_ratio=warmup, final_ratio=final)
    top = round(100 * warmup)
    np.testing.assert_allclose(rates[:top], np.arange(1, top + 1) / max(1, top))  # linear, from above 0
    assert rates[top] == pytest.approx(1.0)
    assert (np.diff(rates[top:]) <= 1e-12).all()  # never rises again
    assert rates[-1] == pytest.approx(1.0 if schedule == "constant" else final)
    assert (rates > 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_schedule_wastes_an_update_however_short(schedule):
    for steps in (1, 2, 3):
        for warmup in (0.0, 0.5, 0.8):
            assert (curve(schedule, steps, warmup_ratio=warmup)[:-1] > 0).all()


def test_inverse_sqrt_is_the_published_one():
    wanted = get_inverse_sqrt_schedule(torch.optim.SGD([torch.zeros(1)], lr=1.0), num_warmup_steps=10).lr_lambdas[0]
    rates = curve("inverse_sqrt", warmup_ratio=0.1)
    np.testing.assert_allclose(rates[10:], [wanted(step) for step in range(10, 101)])
    assert rates[-1] == pytest.approx(math.sqrt(10 / 100))
    assert curve("inverse_sqrt", warmup_ratio=0.0)[3] == pytest.approx(1 / 2)  # 1 / sqrt(t), of the fourth update
    assert (curve("inverse_sqrt", final_ratio=1.0)[10:] == 1).all()


def test_wsd_holds_until_its_decay_starts():
    rates = curve("wsd", decay_start=0.5, final_ratio=0.2, warmup_ratio=0.0)
    assert (rates[:51] == 1).all() and rates[75] == pytest.approx(0.6) and rates[100] == pytest.approx(0.2)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "mse"}, "optimization.loss: 'mse' is not one of nll, dft"),
        ({"decay_start": -0.1}, "optimization.decay_start: -0.1 is not a share"),
        ({"final_ratio": 1.1}, "optimization.final_ratio: 1.1 is not a share"),
        ({"schedule": "wsd", "warmup_ratio": 0.9}, "optimization.decay_start: 0.8 is before the warm-up ends"),
        ({"label_smoothing": 1.0}, "optimization.label_smoothing: 1.0"),
        ({"sam_rho": -1.0}, "optimization.sam_rho: -1.0"),
        ({"sam_rho": float("nan")}, "optimization.sam_rho: nan"),
    ],
)
def test_impossible_recipes(change, words):
    with pytest.raises(TriaxisError, match=words) as error:
        Recipe(**{"steps": 1, "learning_rate": 1e-3, **change})
    assert "\n" not in str(error.value)


def study(**optimization):
    return parse_study({
        "model": {"base": "m"},
        "data": {"task": "t"},
        "tasks": {"in_domain": ["t"]},
        "optimization": optimization,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"optimizer": "lionn"}, "optimization.optimizer: must be .* did you mean lion"),
        ({"loss": "ce"}, "optimization.loss: must be 'nll' or 'dft'"),
        ({"label_smoothing": 1.0}, "optimization.label_smoothing: "),
        ({"sam_rho": -0.1}, "optimization.sam_rho: "),
        ({"final_ratio": 2.0, "schedule": "linear"}, "optimization.final_ratio: "),
        ({"decay_start": 0.5}, "optimization.decay_start: has no effect under the schedule cosine; remove it"),
        ({"final_ratio": 0.1, "schedule": "constant"}, "optimization.final_ratio: has no effect under .* constant"),
        ({"decay_start": [0.5, 0.8], "schedule": ["wsd", "cosine"]}, "optimization.decay_start: varies, and has no"),
        ({"final_ratio": [0.0, 0.1], "schedule": "inverse_sqrt"}, "optimization.final_ratio: 0 leaves inverse_sqrt"),
        ({"warmup_ratio": [0.1, 0.9], "schedule": "wsd"}, "optimization.decay_start: 0.8 is before the warm-up ends"),
    ],
)
def test_bad_settings_are_told_in_one_line(section, words):
    with pytest.raises(TriaxisError, match=words) as error:
        study(**section)
    assert "\n" not in str(error.value)


def test_new_settings_leave_the_ids_of_before():
    """What an earlier version measured is found again; another value is another run."""
    first = study().runs()[0].id
    values = {"decay_start": 0.5, "final_ratio": 0.1, "loss": "dft", "label_smoothing": 0.1, "sam_rho": 0.05}
    for key, value in values.items():
        assert f"optimization.{key}" in LATER
        usual = Optimization.model_fields[key].default
        schedule = {"schedule": "wsd"} if key == "decay_start" else {}
        assert study(**{key: usual}, **schedule).runs()[0].id == study(**schedule).runs()[0].id
        assert study(**{key: value}, **schedule).runs()[0].id != study(**schedule).runs()[0].id
    assert study().runs()[0].id == first


def test_a_run_is_trained_as_its_study_says():
    chosen = {
        "optimizer": "lion",
        "learning_rate": 2e-4,
        "schedule": "wsd",
        "warmup_ratio": 0.2,
        "decay_start": 0.5,
        "final_ratio": 0.1,
        "weight_decay": 0.3,
        "gradient_clip": 2.0,
        "loss": "dft",
        "label_smoothing": 0.1,
        "sam_rho": 0.05,
    }
    made = study(**chosen, steps=64)
    assert recipe_of(job_of(made, made.runs()[1])) == Recipe(**chosen, steps=64, seed=1)


def test_a_study_and_a_recipe_have_the_same_defaults_and_levels():
    recipe = Recipe(steps=1, learning_rate=1.0)
    for key in ("optimizer", "schedule", "warmup_ratio", "decay_start", "final_ratio", "weight_decay", "loss",
                "gradient_clip", "label_smoothing", "sam_rho"):  # fmt: skip
        assert Optimization.model_fields[key].default == getattr(recipe, key), key
    for key, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("loss", LOSSES)):
        assert Optimization.model_fields[key].annotation.__args__ == known, key
