"""What the tests of several processes train, in one process or as one of several: the same function for both.

`python -m processes_cases RANK SIZE FOLDER` reads the lab's rows and the states of one process from FOLDER, and writes
what each case gave to FOLDER/RANK.pt.
"""

import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import ArceeConfig, ArceeForCausalLM

from triaxis.axes.model import ModelSettings, adapt, load_base
from triaxis.axes.optimization import Recipe, Row, Training, collate, losses, order, pack
from triaxis.axes.optimization.crew import join
from triaxis.types import RunFailed, TriaxisError

CUT = 2  # the step at which states change hands
STEPS = 4  # the third batch of an epoch is ragged
RESUMED = {"adamw": {}, "muon": {"optimizer": "muon"}, "bfloat16": {}}
SHARDINGS = ("ddp", "fsdp")


def tiny():
    torch.manual_seed(0)
    config = ArceeConfig(
        vocab_size=41,  # of two pieces one is larger
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    model = ArceeForCausalLM(config)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, 0.0, 0.2)
    return model


def random_rows(n):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        length = int(rng.integers(5, 30))
        rows.append(Row(f"row-{i}", (*(int(t) for t in rng.integers(2, 40, length)), 1), length // 3))
    return rows


def of_rows(rows, size, micro, crew, packing=False):
    length = max(len(r.tokens) for r in rows)

    def of(step):
        members = [rows[i] for i in order(len(rows), size, step, 0)][crew.rank :: crew.size]
        parts = [members[i : i + micro] for i in range(0, len(members), micro)]
        return [pack(p, 0, length) if packing else collate(p, 0) for p in parts]

    return of


def told(points):
    return {
        "losses": [p.loss for p in points],
        "tokens": [p.tokens for p in points],
        "accuracy": [p.token_accuracy for p in points],
    }


def lab(crew, rows, micro=8, scale=1.0, optimizer="adamw"):
    """20 steps of 8 rows over 33: of the last batch of an epoch, one row, the second process has none.

    `scale` makes every gradient wrong by a factor.
    """
    model, _ = load_base("lab:weak")
    if scale != 1:
        for parameter in model.parameters():
            parameter.register_hook(lambda gradient: gradient * scale)
    recipe = Recipe(steps=20, learning_rate=1e-3, optimizer=optimizer, gradient_clip=None)
    training = Training(model, of_rows(rows, 8, micro, crew), recipe, crew)
    points = [training.run_to(step) for step in range(1, 21)]
    return told(points) | {"weights": dict(model.named_parameters()) if crew.first else None}


def small(crew, *, rows=17, micro=3, packing=False, change=lambda model: None, **settings):
    """A few steps of a tiny model; 17 rows in batches of 8, so that passes differ between processes, or are none."""
    model = tiny()
    change(model)
    recipe = Recipe(steps=STEPS, **{"learning_rate": 1e-3, **settings})
    training = Training(model, of_rows(random_rows(rows), 8, micro, crew, packing), recipe, crew)
    points = [training.run_to(step) for step in range(1, CUT + 1)]
    state = deepcopy(training.state())
    points += [training.run_to(step) for step in range(CUT + 1, STEPS + 1)]
    weights = {name: p.detach().clone() for name, p in model.named_parameters()} if crew.first else None
    return told(points) | {"weights": weights, "state": state if crew.first else None}


def resumed(crew, state, **settings):
    """The rest of `small`, from a state that it gave."""
    recipe = Recipe(steps=STEPS, **{"learning_rate": 1e-3, **settings})
    half = state["module"]["lm_head.weight"].dtype
    training = Training(tiny().to(half), of_rows(random_rows(17), 8, 3, crew), recipe, crew)
    training.restore(state)
    return told([training.run_to(step) for step in range(CUT + 1, STEPS + 1)])


def adapters(model):
    adapt(model, ModelSettings("x", lora_rank=4, lora_targets="q_proj, up_proj"), 0)


def in_bfloat16(model):
    """Adapters in fp32 on a base in bfloat16."""
    model.to(torch.bfloat16)
    adapters(model)


def recomputed(model):
    adapt(model, ModelSettings("x", gradient_checkpointing=True), 0)


def chunked(crew, **settings):
    """The loss in chunks, as of a large vocabulary."""
    before, losses.LOGITS_AT_ONCE = losses.LOGITS_AT_ONCE, 500
    try:
        return small(crew, **settings)
    finally:
        losses.LOGITS_AT_ONCE = before


def broken(crew):
    """The last process alone computes what is not a number; the weights are the same in all."""
    rows = random_rows(16)
    training = Training(tiny(), of_rows(rows, 8, 4, crew), Recipe(steps=3, learning_rate=1e-3), crew)
    training.run_to(1)
    if crew.rank == crew.size - 1:
        embedding = training._held.trained.get_input_embeddings()
        embedding.register_forward_hook(lambda *args: args[2] * float("nan"))
    try:
        training.run_to(2)
    except RunFailed as error:
        return {"failed": str(error), "rows": [rows[i].id for i in order(16, 8, 1, 0)][crew.rank :: crew.size]}
    return {"failed": "", "rows": []}


def refused(crew):
    try:
        small(crew, optimizer="adafactor")
    except TriaxisError as error:
        return {"refused": str(error)}
    return {"refused": ""}


CASES = {
    "adamw": lambda crew: small(crew),
    "lion": lambda crew: small(crew, optimizer="lion", learning_rate=2e-4),
    "muon": lambda crew: small(crew, optimizer="muon"),
    "sgd, clipped": lambda crew: small(crew, optimizer="sgd", gradient_clip=0.05, learning_rate=0.1),
    "sam": lambda crew: small(crew, sam_rho=0.05),
    "packed, dft": lambda crew: small(crew, packing=True, loss="dft", label_smoothing=0.1),
    "bfloat16": lambda crew: small(crew, change=lambda model: model.to(torch.bfloat16)),
    "lora": lambda crew: small(crew, change=adapters, learning_rate=1e-2),
    "lora in bfloat16": lambda crew: small(crew, change=in_bfloat16, learning_rate=1e-2),
    "chunked, recomputed": lambda crew: chunked(crew, change=recomputed),
}

# Numbers of two kinds matter to pieces alone: those of a group are sent as one.
TOGETHER = [(name, s) for name in CASES for s in SHARDINGS if (name, s) != ("lora in bfloat16", "ddp")]


def here(crew, folder):
    """Everything that several processes do, in an order that is theirs all."""
    found = {}
    rows = [Row(*row) for row in torch.load(folder / "rows.pt")]
    for sharding in SHARDINGS:
        now = replace(crew, sharding=sharding)
        found[f"lab {sharding}"] = lab(now, rows)
        for name, case in CASES.items():
            if (name, sharding) in TOGETHER:
                found[f"{name} {sharding}"] = case(now)
        for name, settings in RESUMED.items():
            state = torch.load(folder / f"{name}.pt", weights_only=True)
            found[f"resumed {name} {sharding}"] = resumed(now, state, **settings)
        found[f"broken {sharding}"] = broken(now)
    found["adafactor ddp"] = small(replace(crew, sharding="ddp"), optimizer="adafactor")
    found["refused"] = refused(replace(crew, sharding="fsdp"))
    return found


def main():
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    crew = join(rank, size, str(folder / "meeting"))
    torch.save(here(crew, folder), folder / f"{rank}.pt")


if __name__ == "__main__":
    main()
