"""Diagnostics of a checkpoint: against exact values where these can be computed, and nothing is touched."""

import importlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from loss_cases import summed_loss
from triaxis.axes.optimization import Row, collate, pack
from triaxis.axes.optimization.batches import IGNORED, Batch
from triaxis.axes.optimization.diagnostics import (
    DIAGNOSTICS,
    Inputs,
    Reading,
    Undefined,
    adaptive_sam_sharpness,
    check_diagnostics,
    copy_weights,
    gradient_norm,
    hessian_eigenvalue,
    hessian_trace,
    kl_from_base,
    loss_slice,
    mean_loss,
    noise_scale,
    run_diagnostics,
    sam_sharpness,
    settings_of,
    update_spectrum,
    weight_distance,
)
from triaxis.axes.optimization.diagnostics.hessian_eigenvalue import lanczos
from triaxis.axes.optimization.diagnostics.loss_slice import filter_normalised
from triaxis.axes.optimization.diagnostics.noise_scale import estimates, moments, readings
from triaxis.axes.optimization.diagnostics.probe import probing, second_derivatives
from triaxis.axes.optimization.diagnostics.rows import rows_of, tokens_read
from triaxis.axes.optimization.diagnostics.update_spectrum import spectrum_ranks
from triaxis.types import NotEstimable, TriaxisError

PAD = 0
NAMES = [d.name for d in DIAGNOSTICS]


@pytest.fixture
def nano_model():
    """A two-layer causal model of 276 weights over 8 words: its whole Hessian can be computed."""
    from transformers import ArceeConfig, ArceeForCausalLM

    torch.set_num_threads(1)
    config = ArceeConfig(
        vocab_size=8,
        hidden_size=4,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        hidden_act="relu2",
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )

    def make(seed=0):
        torch.manual_seed(seed)
        model = ArceeForCausalLM(config)
        for weight in model.parameters():
            if weight.ndim == 2:
                torch.nn.init.normal_(weight, 0.0, 0.4)
        return model

    return make


def nano_rows(n, seed=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 12, n)
    return [Row(f"r{i}", tuple(int(t) for t in rng.integers(2, 8, k)), int(k) // 3) for i, k in enumerate(lengths)]


def moved(model, scale=0.02, seed=5):
    """Weights that a little training might have left."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += scale * torch.randn(weight.shape, generator=generator)
    return model


@pytest.fixture
def hessian(nano_model):
    """The model, a batch, and the exact Hessian of the batch's mean loss."""
    model, batch = nano_model(), collate(nano_rows(6), PAD)
    with probing(model, "float64") as probe, second_derivatives():
        exact = torch.func.hessian(lambda v: probe.losses(v, batch).mean())(probe.at)
    return model, batch, ((exact + exact.T) / 2).detach()


# Curvature


def test_products_are_the_columns_of_the_hessian(hessian):
    model, batch, exact = hessian
    with probing(model, "float64") as probe, second_derivatives():
        product = probe.products(batch, batch.supervised)
        columns = torch.stack([product(unit) for unit in torch.eye(len(exact), dtype=torch.float64)])
    # The model's own norm layers round to float32, in whatever precision the rest is.
    torch.testing.assert_close(columns, exact, rtol=1e-5, atol=1e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("keep_graph", [True, False])
def test_largest_eigenvalue_is_exact_and_within_its_residual(hessian, keep_graph):
    model, batch, exact = hessian
    values = torch.linalg.eigvalsh(exact)
    parts = [collate(nano_rows(6)[i : i + 2], PAD) for i in (0, 2, 4)]
    found = hessian_eigenvalue(
        model, parts, products=276, tolerance=1e-9, precision="float64", keep_graph=keep_graph
    ).values
    assert found[""].value == pytest.approx(float(values[-1]), rel=1e-5)
    rough = hessian_eigenvalue(model, [batch], tolerance=0.05).values
    assert 0 < rough["residual"].value <= 0.05 * rough[""].value
    assert abs(rough[""].value - float(values[-1])) <= rough["residual"].value
    nearest = (values - rough["smallest"].value).abs().min()
    assert float(nearest) <= rough["smallest_residual"].value + 1e-4


def test_lanczos_stays_orthogonal_where_eigenvalues_are_far_apart():
    # Without reorthogonalisation an isolated eigenvalue comes back as ghosts after twenty products.
    values = torch.cat([torch.tensor([1e4, 3e3]), torch.linspace(-1, 1, 98)]).double()
    basis, _ = torch.linalg.qr(torch.randn(100, 100, generator=torch.Generator().manual_seed(0)).double())
    matrix = basis @ torch.diag(values) @ basis.T
    top, bottom, taken = lanczos(lambda v: matrix @ v, torch.ones(100).double(), 100, -1.0)  # never satisfied
    assert taken == 100
    assert top.value == pytest.approx(1e4, rel=1e-10)
    assert bottom.value == pytest.approx(-1, rel=1e-8)
    top, _, taken = lanczos(lambda v: matrix @ v, torch.ones(100).double(), 100, 1e-6)
    assert taken < 10
    assert top.value == pytest.approx(1e4, rel=1e-6)


def test_the_bound_holds_at_every_number_of_products(hessian):
    _, _, exact = hessian
    values = torch.linalg.eigvalsh(exact)
    start = torch.randn(len(exact), generator=torch.Generator().manual_seed(2)).double()
    for products in range(1, 40):
        top, bottom, _ = lanczos(lambda v: exact @ v, start, products, 0.0)
        for end in (top, bottom):
            assert float((values - end.value).abs().min()) <= end.residual + 1e-9
        assert top.value <= float(values[-1]) + 1e-9


def test_trace_is_within_the_interval_of_its_probes(hessian):
    model, batch, exact = hessian
    trace = float(exact.trace())
    covered = 0
    for seed in range(24):
        found = hessian_trace(model, [batch], probes=8, seed=seed).values[""]
        covered += found.low <= trace <= found.high
    assert covered >= 20  # 23 expected; fewer than 20 has probability .006
    many = hessian_trace(model, [batch], probes=200).values[""]
    # Hutchinson's variance is twice the squares off the diagonal.
    sd = math.sqrt(2 * float((exact - torch.diag(exact.diagonal())).square().sum()) / 200)
    assert abs(many.value - trace) < 3.5 * sd
    assert (many.high - many.low) / 2 == pytest.approx(1.966 * sd, rel=0.25)
    single = hessian_trace(model, [batch], probes=1).values[""]
    assert single.low is None
    assert single.high is None


def test_attention_without_a_second_derivative_is_told(nano_model, monkeypatch):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    module = importlib.import_module("triaxis.axes.optimization.diagnostics.hessian_trace")
    monkeypatch.setattr(module, "second_derivatives", lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION))
    ids = torch.randint(2, 8, (2, 6))
    inputs = Inputs([Batch(ids, ids, None, ("a", "b"))])
    found = run_diagnostics(["hessian_trace", "gradient_norm"], nano_model(), inputs).values
    assert "second derivative" in found["diagnostic.hessian_trace"].reason
    assert isinstance(found["diagnostic.gradient_norm"], Reading)


# Loss and gradient


def test_loss_and_gradient_are_those_of_training(tiny_model, token_rows):
    model, rows = tiny_model().eval(), token_rows(12)
    batch = collate(rows, PAD)
    loss, _ = summed_loss(model, batch)
    loss = loss / batch.supervised
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    wanted = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    assert mean_loss(model, [batch]).values[""].value == pytest.approx(loss.item(), rel=1e-5)
    assert gradient_norm(model, [batch]).values[""].value == pytest.approx(wanted, rel=1e-5)


def test_the_loss_interval_is_clustered_by_row(tiny_model, token_rows):
    model, rows = tiny_model().eval(), token_rows(30)
    sums = np.array([summed_loss(model, collate([r], PAD))[0].item() for r in rows])
    counts = np.array([collate([r], PAD).supervised for r in rows])
    found = mean_loss(model, [collate(rows, PAD)]).values[""]
    draws = np.random.default_rng(0).integers(0, 30, (20_000, 30))
    spread = (sums[draws].sum(1) / counts[draws].sum(1)).std()
    assert found.value == pytest.approx(sums.sum() / counts.sum(), rel=1e-5)
    assert (found.high - found.low) / 2 == pytest.approx(2.045 * spread, rel=0.1)
    alone = mean_loss(model, [collate(rows[:1], PAD)]).values[""]
    assert alone.low is None


# Noise scale


def planted(rng, n, tokens, signal, noise):
    vectors = signal + rng.normal(size=(n, len(signal))) * noise
    return lambda: ((torch.tensor(v) * tokens, tokens) for v in vectors)


def test_noise_scale_of_a_planted_gaussian_gradient():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=50)
    noise = np.sqrt(rng.uniform(1, 20, 50))
    squared, trace = float(signal @ signal), float((noise**2).sum())
    found, covered = [], 0
    for _ in range(400):
        m = moments(planted(rng, 64, 3, signal, noise))
        variance, square = estimates(m)
        found.append((variance[0], square[0]))
        scale = readings(m)[""]
        covered += scale.low <= trace / squared <= (math.inf if scale.high is None else scale.high)
    means, errors = np.mean(found, axis=0), np.std(found, axis=0) / 20
    assert abs(means[0] - trace) < 3.5 * errors[0]
    assert abs(means[1] - squared) < 3.5 * errors[1]
    assert 0.91 <= covered / 400 <= 0.985


def test_noise_scale_is_the_estimator_of_two_batch_sizes():
    rng = np.random.default_rng(1)
    signal, n = rng.normal(size=20), 16
    each = planted(rng, n, 4, signal, np.full(20, 2.0))
    vectors = np.stack([(s / t).numpy() for s, t in each()])
    small, big = (vectors**2).sum(1).mean(), (vectors.mean(0) ** 2).sum()
    variance, square = estimates(moments(each))
    assert variance[0] == pytest.approx((small - big) / (1 - 1 / n))
    assert square[0] == pytest.approx((n * big - small) / (n - 1))
    for left_out in range(n):  # the shortcut of the jackknife against leaving the row out
        kept = [pair for i, pair in enumerate(each()) if i != left_out]
        without = estimates(moments(lambda kept=kept: iter(kept)))
        assert variance[1 + left_out] == pytest.approx(without[0][0])
        assert square[1 + left_out] == pytest.approx(without[1][0])


def test_leaving_a_row_out_holds_for_rows_of_unequal_length():
    rng = np.random.default_rng(2)
    every = [(torch.tensor(rng.normal(size=6) * t), int(t)) for t in rng.integers(1, 9, 10)]
    variance, square = estimates(moments(lambda: iter(every)))
    for left_out in range(10):
        kept = [pair for i, pair in enumerate(every) if i != left_out]
        without = estimates(moments(lambda kept=kept: iter(kept)))
        assert variance[1 + left_out] == pytest.approx(without[0][0])
        assert square[1 + left_out] == pytest.approx(without[1][0])


def test_noise_scale_predicts_the_noise_of_a_batch(tiny_model, token_rows):
    # Rows of unequal length: batches of 8 drawn from the rows have the noise that is read, S / 8.
    model, rows = tiny_model(), token_rows(64)
    found = noise_scale(model, [collate(rows, PAD)]).values
    with probing(model) as probe:
        _, whole = probe.gradient([collate(rows, PAD)])
        rng = np.random.default_rng(0)
        draws = [[rows[i] for i in rng.integers(0, 64, 8)] for _ in range(100)]
        squares = [float((probe.gradient([collate(d, PAD)])[1] - whole).square().sum()) for d in draws]
    assert np.mean(squares) == pytest.approx(found["variance"].value / 8, rel=0.12)


def test_noise_scale_without_a_signal_is_not_estimable(tiny_model, token_rows):
    rng = np.random.default_rng(3)
    kinds = [readings(moments(planted(rng, 16, 2, np.zeros(30), np.ones(30)))) for _ in range(30)]
    negative = [found for found in kinds if isinstance(found[""], NotEstimable)]
    assert 5 <= len(negative) <= 25  # |G|² is 0: half of its unbiased estimates are below
    assert all("not positive" in found[""].reason for found in negative)
    assert all(isinstance(found["variance"], Reading) for found in negative)
    unclear = [found[""] for found in kinds if isinstance(found[""], Reading)]
    assert all(value.high is None or value.low < value.value < value.high for value in unclear)
    assert any(value.high is None for value in unclear)
    few = noise_scale(tiny_model(), [collate(token_rows(3), PAD)]).values
    assert "3 rows" in few[""].reason


# Sharpness and the slice


def shifted(model, e):
    with torch.no_grad():
        at = 0
        for weight in model.parameters():
            weight += e[at : at + weight.numel()].view(weight.shape)
            at += weight.numel()
    return model


def test_sharpness_by_hand(tiny_model, token_rows):
    batch = collate(token_rows(8), PAD)
    model = tiny_model().eval()
    with probing(model) as probe:
        before, g = probe.gradient([batch])
        w = probe.at.detach().clone()
    t = w.abs() + 0.01
    for found, e in (
        (sam_sharpness(model, [batch], radius=0.1), 0.1 * g / g.norm()),
        (adaptive_sam_sharpness(model, [batch], radius=0.2), 0.2 * t * t * g / (t * g).norm()),
    ):
        loss, _ = summed_loss(shifted(tiny_model().eval(), e), batch)
        assert found.values[""].value == pytest.approx(loss.item() / batch.supervised - before, rel=1e-4)
    small = sam_sharpness(model, [batch], radius=1e-4, precision="float64").values[""].value
    assert small == pytest.approx(1e-4 * float(g.norm()), rel=1e-2)


def test_adaptive_sharpness_does_not_see_a_rescaling(nano_model):
    batch, plain, scaled = collate(nano_rows(8), PAD), nano_model(), nano_model()
    with torch.no_grad():
        for layer in scaled.model.layers:  # relu² makes up 4 times as large what down takes back 16 times
            layer.mlp.up_proj.weight *= 4
            layer.mlp.down_proj.weight /= 16
    both = [adaptive_sam_sharpness(m, [batch], floor=0.0).values[""].value for m in (plain, scaled)]
    assert both[0] == pytest.approx(both[1], rel=1e-4)
    both = [sam_sharpness(m, [batch]).values[""].value for m in (plain, scaled)]
    assert abs(both[0] / both[1] - 1) > 0.05


def test_slice_by_hand(tiny_model, token_rows):
    batch, model = collate(token_rows(8), PAD), tiny_model().eval()
    with probing(model) as probe:
        direction = filter_normalised(probe, 3)
        named, weights = probe.named(direction), probe.named(probe.at.detach())
        for name, part in named.items():
            if part.ndim == 2:
                torch.testing.assert_close(part.norm(dim=1), weights[name].norm(dim=1))
            else:
                assert not part.any()
    found = loss_slice(model, [batch], places=(-0.5, 0.5), seed=3).values
    assert set(found) == {"", "at_-0.5", "at_0", "at_0.5"}
    for a in (-0.5, 0.0, 0.5):
        loss, _ = summed_loss(shifted(tiny_model().eval(), a * direction), batch)
        assert found[f"at_{a:g}"].value == pytest.approx(loss.item() / batch.supervised, rel=1e-4)
    ends = (found["at_-0.5"].value + found["at_0.5"].value) / 2
    assert found[""].value == pytest.approx(ends - found["at_0"].value)
    assert loss_slice(model, [batch], seed=4).values[""].value != found[""].value


# From base


def test_distance_by_hand(nano_model):
    base = copy_weights(nano_model())
    model = nano_model()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] += 3
        model.model.norm.weight[1] += 4
    found = weight_distance(model, base).values
    size = math.sqrt(sum(float(w.double().square().sum()) for w in base.values()))
    assert found[""].value == pytest.approx(5)
    assert found["relative"].value == pytest.approx(5 / size)
    assert found["relative.norm"].value == pytest.approx(4 / 2)  # four ones
    assert found["relative.layers.0"].value == 0
    assert {k for k in found if "." in k} == {f"relative.{g}" for g in ("embed_tokens", "layers.0", "layers.1", "norm")}
    assert weight_distance(nano_model(), base).values[""].value == 0
    assert weight_distance(model, base, each=False).values == {name: found[name] for name in ("", "relative")}
    with pytest.raises(Undefined, match="no weight"):
        weight_distance(nano_model(), {})


def test_kl_by_hand_and_of_itself(nano_model):
    rows, base = nano_rows(5), nano_model()
    model = moved(nano_model(), 0.2)
    totals, tokens = {"forward": 0.0, "reverse": 0.0}, 0
    for row in rows:
        ids = torch.tensor([row.tokens])
        with torch.no_grad():
            p, q = (m.eval()(input_ids=ids).logits[0].softmax(-1).double().numpy() for m in (base, model))
        for i in range(row.prompt_tokens - 1, len(row.tokens) - 1):
            totals["forward"] += sum(p[i, v] * math.log(p[i, v] / q[i, v]) for v in range(8))
            totals["reverse"] += sum(q[i, v] * math.log(q[i, v] / p[i, v]) for v in range(8))
            tokens += 1
    found = kl_from_base(model, [collate(rows, PAD)], copy_weights(base), directions=("forward", "reverse")).values
    for name, total in totals.items():
        assert found[name].value == pytest.approx(total / tokens, rel=1e-4)
        assert found[name].low < found[name].value < found[name].high
    assert "KL(base || now)" in found["forward"].method
    assert kl_from_base(base, [collate(rows, PAD)], copy_weights(base)).values["forward"].value == 0


def test_kl_of_whole_responses_by_enumeration(nano_model):
    # Over all 64 responses of two tokens, weighted as the base gives them, the tokens' divergences sum to the whole's.
    base, model, prompt = nano_model().eval(), moved(nano_model(), 0.3).eval(), (3, 5, 2)
    weights = copy_weights(base)
    whole = by_token = 0.0
    for response in itertools.product(range(8), repeat=2):
        row = Row("r", (*prompt, *response), 3)
        ids = torch.tensor([row.tokens])
        with torch.no_grad():
            p, q = (m(input_ids=ids).logits[0].double().log_softmax(-1) for m in (base, model))
        log_p, log_q = (float(sum(x[2 + i, token] for i, token in enumerate(response))) for x in (p, q))
        whole += math.exp(log_p) * (log_p - log_q)
        found = kl_from_base(model, [collate([row], PAD)], weights, precision="float64").values["forward"]
        by_token += math.exp(log_p) * 2 * found.value
    assert by_token == pytest.approx(whole, rel=1e-4)


def test_ranks_of_a_planted_change(tiny_model):
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(64, 4, generator=generator).double())
    right, _ = torch.linalg.qr(torch.randn(32, 4, generator=generator).double())
    even = spectrum_ranks(left @ right.T)
    assert even == pytest.approx((4, 4))
    s = torch.tensor([4.0, 2.0, 1.0, 1.0]).double()
    effective, stable = spectrum_ranks(left @ torch.diag(s) @ right.T)
    assert effective == pytest.approx(2**1.75)  # shares 1/2, 1/4, 1/8, 1/8
    assert stable == pytest.approx(22 / 16)
    base, model = copy_weights(tiny_model()), tiny_model().double()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight += left @ right.T
    found = update_spectrum(model, {k: w.double() for k, w in base.items()}).values
    assert found["layers.0.mlp.up_proj.effective_rank"].value == pytest.approx(4)
    assert found[""].value == pytest.approx(4 / 32)
    assert isinstance(found["layers.1.mlp.up_proj.stable_rank"], NotEstimable)
    with pytest.raises(Undefined, match="no matrix differs"):
        update_spectrum(tiny_model(), base)


def test_a_slice_to_one_side_is_not_halved(tiny_model, token_rows):
    found = loss_slice(tiny_model(), [collate(token_rows(4), PAD)], places=(0.25, 0.5)).values
    rises = [found[f"at_{place}"].value - found["at_0"].value for place in (0.25, 0.5)]
    assert found[""].value == pytest.approx(sum(rises) / 2)


def test_adapters_count_as_what_they_add_to_their_matrices(tiny_model):
    """Their own factors told another story: far too short a way, in nearly all directions instead of a few."""
    pytest.importorskip("peft")
    from triaxis.axes.model import ModelSettings, adapt, merged

    model = tiny_model()
    plain = copy_weights(model)
    adapt(model, ModelSettings("tiny", lora_rank=2, lora_alpha=8), 0)
    base = copy_weights(model)
    assert weight_distance(model, base).values[""].value == 0
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    with merged(model):
        now = {n.replace(".base_layer", ""): w.double() for n, w in copy_weights(model).items() if "lora_" not in n}
    moved = {name: weight - plain[name].double() for name, weight in now.items()}
    found = weight_distance(model, base).values
    length = math.sqrt(sum(float(change.square().sum()) for change in moved.values()))
    assert found[""].value == pytest.approx(length, rel=1e-5)
    size = math.sqrt(sum(float(weight.double().square().sum()) for weight in plain.values()))
    assert found["relative"].value == pytest.approx(length / size, rel=1e-5)
    spectrum = update_spectrum(model, base).values
    up = "layers.0.mlp.up_proj"
    ranks = spectrum_ranks(moved[f"model.{up}.weight"])
    assert spectrum[f"{up}.stable_rank"].value == pytest.approx(ranks[1], rel=1e-4)
    assert spectrum[f"{up}.effective_rank"].value < 2.0001, "a product of rank 2"
    assert not any("lora" in name for name in spectrum)


# What no diagnostic may depend on, or change


def layouts(rows):
    """The same rows as one padded batch, in micro-batches, in another order, with more padding, and packed."""
    whole = collate(rows, PAD)
    more = Batch(
        torch.nn.functional.pad(whole.input_ids, (0, 7), value=PAD),
        torch.nn.functional.pad(whole.labels, (0, 7), value=IGNORED),
        None,
        whole.ids,
    )
    return {
        "micro-batches": [collate(rows[i : i + 3], PAD) for i in range(0, len(rows), 3)],
        "another order": [collate(rows[::-1], PAD)],
        "more padding": [more],
        "packed": [pack(rows, PAD, 40)],
    }


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_order_change_nothing(tiny_model, token_rows, name):
    rows, model, base = token_rows(11), moved(tiny_model()), copy_weights(tiny_model())
    settings = {"hessian_eigenvalue": {"products": 8, "tolerance": 0.0}, "hessian_trace": {"probes": 2}}
    settings = {name: {**settings.get(name, {})}}
    if "precision" in settings_of(next(d for d in DIAGNOSTICS if d.name == name)):
        settings[name]["precision"] = "float64"

    def of(batches):
        return run_diagnostics([name], model, Inputs(batches, batches, base), settings)

    wanted = of([collate(rows, PAD)])
    for layout, batches in layouts(rows).items():
        found = of(batches)
        assert found.costs[f"diagnostic.{name}"][1] == wanted.costs[f"diagnostic.{name}"][1], layout
        assert list(found.values) == list(wanted.values)
        for column, value in wanted.values.items():
            for end in ("value", "low", "high"):
                got, want = getattr(found.values[column], end), getattr(value, end)
                assert got == (want if want is None else pytest.approx(want, rel=2e-4, abs=1e-9)), (layout, column)


def test_rows_come_back_from_any_layout(token_rows):
    rows = token_rows(11)
    wanted = sorted((r.tokens, len(r.tokens) - r.prompt_tokens) for r in rows)
    for layout, batches in layouts(rows).items():
        got = [(tuple(b.input_ids[0].tolist()), b.supervised) for b in rows_of(batches)]
        assert sorted(got) == wanted, layout
        assert sum(tokens_read(b) for b in batches) == sum(len(r.tokens) for r in rows), layout


@pytest.mark.parametrize("name", NAMES)
def test_the_module_is_left_as_it_was(tiny_model, token_rows, name):
    model, base = moved(tiny_model()).train(), copy_weights(tiny_model())
    model.model.layers[1].eval()  # modes may differ within a module
    batch = collate(token_rows(6), PAD)
    torch.autograd.backward(summed_loss(model, batch)[0])
    weights = dict(model.named_parameters())
    before = {n: (w, w.detach().clone(), w.grad, w.grad.clone()) for n, w in weights.items()}
    buffers = {n: (b, b.clone()) for n, b in model.named_buffers()}
    modes = [part.training for part in model.modules()]
    torch.manual_seed(11)
    state, kernels = torch.get_rng_state(), torch.backends.cuda.flash_sdp_enabled()
    settings = {"hessian_eigenvalue": {"products": 3}, "hessian_trace": {"probes": 2}}
    settings = {k: v for k, v in settings.items() if k == name}
    with torch.no_grad():  # as a measurement would call it
        found = run_diagnostics([name], model, Inputs([batch], [batch], base), settings)
    assert any(isinstance(value, Reading) for value in found.values.values())
    for n, w in model.named_parameters():
        same, value, grad, grad_value = before[n]
        assert w is same
        assert w.requires_grad
        assert torch.equal(w, value)
        assert w.grad is grad
        assert torch.equal(w.grad, grad_value)
    assert all(torch.equal(b, buffers[n][1]) and b is buffers[n][0] for n, b in model.named_buffers())
    assert [part.training for part in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.cuda.flash_sdp_enabled() == kernels


def test_a_failure_leaves_the_module_as_it_was(tiny_model):
    model = tiny_model().train()
    wrong = Batch(torch.full((1, 4), 99), torch.full((1, 4), 3), None, ("x",))  # no such word
    state = torch.get_rng_state()
    with pytest.raises(IndexError):
        hessian_trace(model, [wrong])
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(w.is_leaf and w.grad is None for w in model.parameters())


def test_dropout_is_off_and_seeds_repeat(tiny_model, token_rows):
    model, batch = tiny_model().train(), collate(token_rows(6), PAD)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    assert mean_loss(model, [batch]).values == mean_loss(tiny_model().eval(), [batch]).values
    for of in (hessian_trace, loss_slice):
        assert of(model, [batch], seed=1).values == of(model, [batch], seed=1).values


def test_a_module_in_half_precision_is_looked_at_in_full(tiny_model, token_rows):
    batch, half = collate(token_rows(6), PAD), tiny_model().bfloat16()
    for of in (mean_loss, gradient_norm, hessian_trace):
        found = of(half, [batch]).values[""]
        assert found.value == pytest.approx(of(tiny_model().bfloat16().float(), [batch]).values[""].value, rel=1e-5)
    assert {w.dtype for w in half.parameters()} == {torch.bfloat16}


def test_frozen_weights_are_no_part_of_the_point(tiny_model, token_rows):
    model, batch = tiny_model(), collate(token_rows(6), PAD)
    for name, weight in model.named_parameters():
        weight.requires_grad_("layers.1" in name)
    loss, _ = summed_loss(model.eval(), batch)
    free = [w for w in model.parameters() if w.requires_grad]
    wanted = math.sqrt(sum(float(g.square().sum()) for g in torch.autograd.grad(loss / batch.supervised, free)))
    assert gradient_norm(model, [batch]).values[""].value == pytest.approx(wanted, rel=1e-5)
    model.requires_grad_(False)
    found = run_diagnostics(["gradient_norm"], model, Inputs([batch])).values
    assert found == {"diagnostic.gradient_norm": NotEstimable("the module has no trainable weight")}


# All of them


def test_all_in_one_flat_mapping(tiny_model, token_rows):
    rows, base = token_rows(12), copy_weights(tiny_model())
    inputs = Inputs([collate(rows[:8], PAD)], [collate(rows[8:], PAD)], base)
    found = run_diagnostics(NAMES, moved(tiny_model()), inputs, {"hessian_trace": {"probes": 2}})
    assert set(found.costs) == {f"diagnostic.{name}" for name in NAMES}
    for name in NAMES:
        column = f"diagnostic.{name}"
        assert any(key == column or key.startswith(f"{column}.") for key in found.values)
    assert all(isinstance(v, Reading) and math.isfinite(v.value) and v.method for v in found.values.values())
    assert "2 Rademacher probes" in found.values["diagnostic.hessian_trace"].method
    read = sum(len(r.tokens) for r in rows[:8])
    tokens = {name: found.costs[f"diagnostic.{name}"][1] / read for name in NAMES}
    assert all(seconds > 0 for seconds, _ in found.costs.values())
    exact = ("training_loss", "gradient_norm", "noise_scale", "sam_sharpness", "hessian_trace", "loss_slice")
    assert [tokens[name] for name in exact] == [1, 1, 2, 2, 1, 7]
    assert tokens["weight_distance"] == tokens["update_spectrum"] == 0


def test_what_is_missing_is_not_estimable_and_stops_nothing(tiny_model, token_rows):
    empty = Batch(torch.full((1, 4), 3), torch.full((1, 4), IGNORED), None, ("x",))
    found = run_diagnostics(NAMES, tiny_model(), Inputs(held_out=[empty])).values
    assert set(found) == {f"diagnostic.{name}" for name in NAMES}
    assert all(isinstance(value, NotEstimable) for value in found.values())
    assert found["diagnostic.sam_sharpness"].reason == "no training batch was given"
    assert found["diagnostic.held_out_loss"].reason == "no token of these batches carries loss"
    assert found["diagnostic.kl_from_base"].reason == "the weights of the base were not given"
    broken = tiny_model()
    with torch.no_grad():
        broken.model.norm.weight.fill_(math.nan)
    batch = collate(token_rows(6), PAD)
    found = run_diagnostics(NAMES, broken, Inputs([batch], [batch], copy_weights(tiny_model()))).values
    finite = {k for k, v in found.items() if isinstance(v, Reading)}
    assert not {k for k in finite if "layers.0" not in k and "layers.1" not in k and "embed" not in k}


def test_a_name_or_a_setting_that_does_not_exist():
    with pytest.raises(TriaxisError, match=r'did you mean "gradient_norm"'):
        check_diagnostics(["gradientnorm"], {})
    with pytest.raises(TriaxisError, match="it has probes, seed, precision"):
        check_diagnostics([], {"hessian_trace": {"samples": 3}})
    with pytest.raises(TriaxisError, match=r"it has each$"):
        check_diagnostics([], {"weight_distance": {"samples": 3}})


def test_the_document_tells_of_each():
    document = (Path(__file__).parents[1] / "docs" / "diagnostics.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in document] == []
