"""The contract of a backend, which every one of them passes."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig, MistralConfig, Qwen3NextConfig

from triaxis.axes.model import load_base
from triaxis.evaluate.backends import check_backend, choose, open_backend
from triaxis.evaluate.backends.vllm_engine import lacking
from triaxis.evaluate.stops import Stops
from triaxis.types import TriaxisError

EOS, PAD = 1, 0
NAMES = ("ours", "transformers", "continuous", "vllm")
OWN_DRAWS = ("ours", "transformers", "continuous")  # draw by one rule: the same seed gives the same answer in all


@pytest.fixture(params=NAMES)
def name(request):
    if request.param == "vllm" and (why := lacking()):
        pytest.skip(why)
    return request.param


@pytest.fixture
def lab():
    return load_base("lab:strong")


@pytest.fixture
def ending(tiny_model):
    """A model that ends some answers by itself and not others: rows of its table are swapped to make it so."""
    model = tiny_model().eval()
    answers = [argmax(model, prompt, 20, eos=-1)[0] for prompt in prompts_of(20)]
    shares = {t: sum(t in a for a in answers) / 20 for t in range(2, 40)}
    token = min(shares, key=lambda t: abs(shares[t] - 0.5))
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[[EOS, token]] = table[[token, EOS]]
    return model


def prompts_of(n, seed=0, longest=24):
    rng = random.Random(seed)
    return [[rng.randrange(2, 40) for _ in range(rng.randrange(1, longest))] for _ in range(n)]


@torch.inference_mode()
def argmax(model, prompt, limit, eos=EOS):
    """The likeliest token each time, all of it computed anew for each: no cache, no batch, no padding."""
    tokens = []
    for _ in range(limit):
        token = int(model(torch.tensor([[*prompt, *tokens]]), use_cache=False).logits[0, -1].argmax())
        if token == eos:
            return tuple(tokens), True
        tokens.append(token)
    return tuple(tokens), False


def opened(name, model, batch_size=64, eos=EOS, pad=PAD):
    return open_backend(name, model, eos=eos, pad=pad, batch_size=batch_size)


def told(responses):
    return [(r.tokens, r.finished) for r in responses]


# -- the contract ------------------------------------------------------------------------------------------------------


def test_greedy_is_the_argmax_on_the_lab_model(name, lab):
    model, tokenizer = lab
    words = ["chain 3 + 4 - 9 ?", "boolean T xor F ?", "chain 7 + 7 + 1 + 2 - 5 ?"]
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": w}], add_generation_prompt=True, return_dict=False)
        for w in words
    ]
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    thinking = [[*p, tokenizer.convert_tokens_to_ids("<think>")] for p in prompts]
    asked, limits = [*prompts, *thinking], [30] * 6
    found = opened(name, model, eos=eos, pad=pad).answer(asked, max_new_tokens=limits)
    assert told(found) == [argmax(model, p, 30, eos) for p in asked]
    assert any(r.finished and len(r.tokens) > 5 for r in found) and min(len(r.tokens) for r in found) < 5


def test_mixed_lengths_and_limits_keep_their_order(name, ending):
    prompts = [*prompts_of(14), [7], [9]]  # the last two of one token
    limits = [0, 1, 2, 30, 3, 20, 25, 4, 30, 5, 10, 30, 2, 1, 30, 6]
    found = opened(name, ending).answer(prompts, max_new_tokens=limits)
    assert told(found) == [argmax(ending, p, n) for p, n in zip(prompts, limits, strict=True)]
    assert {r.finished for r in found} == {True, False}


def test_an_end_token_that_is_the_last_allowed_counts_and_one_beyond_does_not(name, ending):
    prompt, ended = next((p, a) for p in prompts_of(30, 1) if (a := argmax(ending, p, 20))[1] and len(a[0]) > 1)
    length = len(ended[0])
    at, before = opened(name, ending).answer([prompt, prompt], max_new_tokens=[length + 1, length])
    assert told([at, before]) == [(ended[0], True), (ended[0], False)]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_batch_size_and_company_change_nothing(name, ending, temperature):
    prompts, seeds = prompts_of(12), list(range(100, 112))
    limits = [5 + 3 * (i % 5) for i in range(12)]

    def ask(rows, batch_size):
        return opened(name, ending, batch_size).answer(
            [prompts[i] for i in rows],
            max_new_tokens=[limits[i] for i in rows],
            temperature=temperature,
            seeds=[seeds[i] for i in rows],
        )

    together = ask(range(12), 12)
    assert ask(range(12), 5) == together
    assert ask([3, 11, 5], 3) == [together[3], together[11], together[5]]


def test_nothing_asked_is_nothing_answered(name, ending):
    assert opened(name, ending).answer([], max_new_tokens=[]) == []
    assert told(opened(name, ending).answer([[5, 6]], max_new_tokens=[0])) == [((), False)]


def test_a_seed_is_an_answer(name, ending):
    prompts, ask = prompts_of(5), {"max_new_tokens": [15] * 5, "temperature": 1.0}
    backend = opened(name, ending)
    first = backend.answer(prompts, seeds=range(5), **ask)
    assert backend.answer(prompts, seeds=range(5), **ask) == first
    assert backend.answer(prompts, seeds=[2**64 - 1 - i for i in range(5)], **ask) != first
    if name in OWN_DRAWS:
        assert opened("ours", ending).answer(prompts, seeds=range(5), **ask) == first
    with pytest.raises(ValueError, match="one seed a prompt"):
        backend.answer(prompts, **ask)


def test_draws_follow_the_models_distribution(name, ending):
    prompt, n, temperature = [5, 9, 12], 2000, 1.3
    backend = opened(name, ending, 500)
    drawn = backend.answer([prompt] * n, max_new_tokens=[1] * n, temperature=temperature, seeds=list(range(n)))
    counts = torch.zeros(40)
    for response in drawn:
        counts[response.tokens[0] if response.tokens else EOS] += 1
    with torch.no_grad():
        wanted = torch.softmax(ending(torch.tensor([prompt])).logits[0, -1] / temperature, -1) * n
    common = wanted >= 5
    statistic = (((counts - wanted) ** 2) / wanted)[common].sum()
    assert common.sum() > 10 and statistic < 72.1, "above 72.1 in one of a thousand with 39 degrees of freedom"


def test_the_models_own_generation_settings_are_left_out(name, ending):
    """Penalties and cut-offs that a model ships with would be measured as if they were its distribution."""
    prompts = prompts_of(6)
    plain = opened(name, ending).answer(prompts, max_new_tokens=[12] * 6)
    kept = ending.generation_config
    kept.update(repetition_penalty=5.0, min_new_tokens=10, suppress_tokens=[plain[0].tokens[0]], max_length=3)
    kept.update(do_sample=True, top_k=2, temperature=9.0)
    assert opened(name, ending).answer(prompts, max_new_tokens=[12] * 6) == plain
    assert ending.generation_config is kept and kept.repetition_penalty == 5.0


def test_padding_may_be_the_end_token(name, ending):
    prompts, limits = prompts_of(6), [20] * 6
    found = opened(name, ending, pad=EOS).answer(prompts, max_new_tokens=limits)
    assert told(found) == [argmax(ending, p, 20) for p in prompts]


def test_stop_strings_end_an_answer_once_its_thought_is_closed(name, lab):
    """`;` stands between the steps of a thought, where it does nothing, and the answer is `A` and a digit."""
    model, tokenizer = lab
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "chain 3 + 4 - 9 ?"}], add_generation_prompt=True, return_dict=False
    )
    thinking = [*ids, tokenizer.convert_tokens_to_ids("<think>")]
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    backend = opened(name, model, eos=eos, pad=pad)
    whole = tokenizer.decode(backend.answer([thinking], max_new_tokens=[60])[0].tokens)
    assert whole.count(";") == 2 and whole.rpartition("</think>")[2].split()[0] == "A", whole
    for strings, ends in (([";"], whole), (["A"], whole.rpartition("</think>")[0] + "</think> A"), ([], whole)):
        stops = Stops(tokenizer, [strings], [True])
        (found,) = backend.answer([thinking], max_new_tokens=[60], stops=stops)
        assert tokenizer.decode(found.tokens) == ends and found.finished
    # Where no thought was opened it fires at once; and each prompt has its own.
    stops = Stops(tokenizer, [[";"], [";"], []], [False, True, False])
    found = backend.answer([thinking] * 3, max_new_tokens=[60] * 3, stops=stops)
    assert [tokenizer.decode(r.tokens).count(";") for r in found] == [1, 2, 2]
    assert stops.cut(0, tokenizer.decode(found[0].tokens)).count(";") == 0
    # A stop that the limit cuts off is none.
    (short,) = backend.answer([thinking], max_new_tokens=[2], stops=Stops(tokenizer, [["A"]], [True]))
    assert not short.finished and len(short.tokens) == 2


# -- which one ---------------------------------------------------------------------------------------------------------

SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "pad_token_id": 0, "eos_token_id": 1}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 32}
CONFIGS = {
    "full": LlamaConfig(**SMALL, **HEADS),
    "windows": MistralConfig(**SMALL, **HEADS, sliding_window=6),
    "recurrent": MambaConfig(**SMALL, state_size=4),
    "both": Qwen3NextConfig(
        **SMALL, **HEADS, head_dim=8, layer_types=["linear_attention", "full_attention"], num_experts=2,
        num_experts_per_tok=1, moe_intermediate_size=16, shared_expert_intermediate_size=16,
        linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_auto_is_ours_where_our_decoder_is_right(kind):
    """On every architecture what auto takes gives what the model gives without cache, batch and padding."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[kind]).eval()
    chosen = choose("auto", model.config)
    assert chosen.name == ("ours" if kind in ("full", "windows") else "transformers") and chosen.why.startswith("auto:")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, 0.0, 0.3)
    prompts = prompts_of(5, longest=14)
    found = opened("auto", model, 3).answer(prompts, max_new_tokens=[12] * 5)
    assert told(found) == [argmax(model, p, 12) for p in prompts]


def test_what_cannot_be_had_is_told():
    with pytest.raises(TriaxisError, match="ours can't answer for this model, its cache holds more than keys"):
        choose("ours", CONFIGS["recurrent"])
    assert choose("transformers", CONFIGS["full"]).name == "transformers"
    if lacking():
        with pytest.raises(TriaxisError, match=r"^evaluation.backend: vLLM (isn't installed|needs a GPU)"):
            check_backend("vllm")


def test_continuous_batching_says_so_where_it_can_not(tiny_model):
    model = tiny_model()
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(TriaxisError, match=r"evaluation.backend: .* can't run this model .* take transformers"):
        opened("continuous", model).answer([[5, 6]], max_new_tokens=[3])
