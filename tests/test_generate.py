"""Decoding: the same tokens as transformers' own, whatever shares the batch."""

import random

import pytest
import torch

from triaxis.axes.model import load_base
from triaxis.evaluate import generate
from triaxis.evaluate.generate import PREFILL, _alike
from triaxis.evaluate.measure import questions

EOS, PAD = 1, 0


def prompts_of(n, seed=0):
    rng = random.Random(seed)
    return [[rng.randrange(2, 40) for _ in range(rng.randrange(2, 25))] for _ in range(n)]


@pytest.fixture
def ending_model(tiny_model):
    """A model with an end token that it gives in some answers and not in others: rows are swapped to make it so."""
    model = tiny_model().eval()
    answers = generate(model, prompts_of(40), max_new_tokens=[40] * 40, eos=-1, pad=PAD)
    shares = {t: sum(t in a.tokens for a in answers) / 40 for t in range(2, 40)}
    token = min(shares, key=lambda t: abs(shares[t] - 0.5))
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[[EOS, token]] = table[[token, EOS]]
    return model


def test_greedy_equals_transformers_generate(ending_model):
    prompts = prompts_of(40)
    ours = generate(ending_model, prompts, max_new_tokens=[40] * 40, eos=EOS, pad=PAD)
    assert 0 < sum(r.finished for r in ours) < 40, "the test needs answers that end and answers that don't"
    for prompt, response in zip(prompts, ours, strict=True):
        alone = ending_model.generate(
            torch.tensor([prompt]), max_new_tokens=40, do_sample=False, pad_token_id=PAD, eos_token_id=EOS
        )[0, len(prompt) :].tolist()
        assert response.finished == (EOS in alone)
        assert list(response.tokens) == (alone[: alone.index(EOS)] if EOS in alone else alone)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_batch_size_and_company_change_nothing(ending_model, temperature):
    prompts, seeds = prompts_of(30), list(range(100, 130))
    limits = [5 + 3 * (i % 7) for i in range(30)]

    def ask(rows, batch_size):
        return generate(
            ending_model,
            [prompts[i] for i in rows],
            max_new_tokens=[limits[i] for i in rows],
            eos=EOS,
            pad=PAD,
            temperature=temperature,
            seeds=[seeds[i] for i in rows],
            batch_size=batch_size,
        )

    together = ask(range(30), 30)
    assert ask(range(30), 7) == together
    assert ask([3, 17, 5], 3) == [together[3], together[17], together[5]]


def test_prompts_of_very_mixed_length_are_read_by_length(ending_model):
    """Two long prompts among short ones, which padded to the longest would be mostly padding: the same answers."""
    prompts = [*prompts_of(20), [5, 7] * 45, [9] * 80]
    assert len(list(_alike(sorted(map(len, prompts), reverse=True)))) == 2
    ask = {"eos": EOS, "pad": PAD}
    together = generate(ending_model, prompts, max_new_tokens=[30] * 22, **ask)
    alone = [generate(ending_model, [p], max_new_tokens=[30], **ask)[0] for p in prompts]
    assert together == alone and len({len(r.tokens) for r in together}) > 3


def test_stretches_of_like_length_hold_little_padding():
    for lengths in ([5], [300, 1], [40] * 100, [1000, 900, 100, 90, 80, 3, 2, 1], list(range(200, 0, -1))):
        stretches = list(_alike(lengths))
        assert [i for first, last in stretches for i in range(first, last)] == list(range(len(lengths)))
        assert all(sum(lengths[a] - n for n in lengths[a:b]) <= PREFILL for a, b in stretches)


def test_limits_are_each_rows_own(ending_model):
    prompts = prompts_of(6)
    responses = generate(ending_model, prompts, max_new_tokens=[0, 1, 2, 3, 50, 70], eos=EOS, pad=PAD)
    for limit, response in zip([0, 1, 2, 3, 50, 70], responses, strict=True):
        assert len(response.tokens) <= limit
        assert response.finished or len(response.tokens) == limit


def test_sampling_follows_the_models_distribution(ending_model):
    prompt, n = [5, 9, 12], 4000
    drawn = generate(
        ending_model, [prompt] * n, max_new_tokens=[1] * n, eos=EOS, pad=PAD, temperature=1.0, seeds=list(range(n))
    )
    counts = torch.zeros(40)
    for response in drawn:
        counts[response.tokens[0] if response.tokens else EOS] += 1
    with torch.no_grad():
        wanted = torch.softmax(ending_model(torch.tensor([prompt])).logits[0, -1], -1)
    # A chi-square of 39 degrees of freedom is above 72.1 in one of a thousand.
    common = wanted * n >= 5
    statistic = (((counts - wanted * n) ** 2) / (wanted * n))[common].sum()
    assert statistic < 72.1


def test_sampling_belongs_to_its_seed(ending_model):
    ask = {"max_new_tokens": [30] * 5, "eos": EOS, "pad": PAD, "temperature": 1.0}
    prompts = prompts_of(5)
    first = generate(ending_model, prompts, seeds=range(5), **ask)
    assert generate(ending_model, prompts, seeds=range(5), **ask) == first
    assert generate(ending_model, prompts, seeds=range(5, 10), **ask) != first
    with pytest.raises(ValueError, match="one seed a prompt"):
        generate(ending_model, prompts, **ask)


def test_other_attention_and_caches_give_the_same(ending_model):
    prompts = prompts_of(10)
    ask = {"max_new_tokens": [20] * 10, "eos": EOS, "pad": PAD}
    buffered = generate(ending_model, prompts, **ask)
    ending_model.set_attn_implementation("eager")
    assert generate(ending_model, prompts, **ask) == buffered


@pytest.mark.parametrize(
    ("begun", "opened"),
    [("assistant:", ""), ("assistant: <think>\n", "<think>"), ("assistant: <think>\n\n</think>\n", "")],
)
def test_a_thought_that_the_chat_template_opens_is_part_of_the_response(begun, opened):
    _, tokenizer = load_base("lab:weak")
    turns = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tokenizer.chat_template = f"{turns}{{% if add_generation_prompt %}}{begun}{{% endif %}}"
    tasks = {"in_domain": ["chain"]}
    settings = {"items": 2, "samples": 1, "modes": ["default", "think"], "max_new_tokens": 8, "seed": 0}
    default, _, think, _ = questions(tasks, tokenizer, **settings)
    assert default.prefilled == opened and think.prefilled == "<think>"
    cut_off = f"{default.prefilled} i1 3 + 4 = 7 A 7"  # an answer within a thought is none
    assert default.task.outcome(default.example, cut_off, False) == "truncated" or not opened
