"""A small SFT run of the lab's base as users of transformers and of TRL write it, for the tests of the callback."""

import torch

from triaxis.axes.data import training_set
from triaxis.axes.model import load_base
from triaxis.execute.run import render
from triaxis.integrations import TrajectoryCallback

TASKS = {"in_domain": ["chain"], "near_ood": ["words"]}
DATA = {"task": "chain", "structure": "short_cot", "noise_rate": 0.0, "difficulty": "all", "replay_share": 0.0}
SETTINGS = {"model.base": "lab:weak", "data.structure": "short_cot"}


def examples(n=40, seed=0):
    return training_set(DATA | {"examples": n}, seed)


def tokens(n=40, seed=0):
    """Rows as transformers' Trainer takes them: token ids, and labels without the prompt."""
    _, tokenizer = load_base("lab:weak")
    rows = [render(example, tokenizer) for example in examples(n, seed)]
    return [
        {
            "input_ids": list(r.tokens),
            "labels": [-100] * r.prompt_tokens + list(r.tokens[r.prompt_tokens :]),
        }
        for r in rows
    ]


def padded(rows):
    length = max(len(row["input_ids"]) for row in rows)

    def column(name, fill):
        return torch.tensor([row[name] + [fill] * (length - len(row[name])) for row in rows])

    return {"input_ids": column("input_ids", 0), "labels": column("labels", -100)}


def arguments(folder, **changes):
    chosen = {
        "output_dir": str(folder),
        "max_steps": 8,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
    return {**chosen, **changes}


def callback(folder, said=None, **changes):
    chosen = {"evaluation": {"items": 8, "max_new_tokens": 60}, "settings": SETTINGS, **changes}
    tasks = chosen.pop("tasks", TASKS)
    return TrajectoryCallback(folder, tasks, tell=(said if said is not None else []).append, **chosen)


def trainer(folder, callbacks=(), rows=None, dropout=0.0, **changes):
    from transformers import Trainer, TrainingArguments

    model, tokenizer = load_base("lab:weak")
    model.config.attention_dropout = dropout
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = dropout
    return Trainer(
        model=model,
        args=TrainingArguments(**arguments(folder, **changes)),
        train_dataset=rows or tokens(),
        data_collator=padded,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def weights(trained):
    return {name: p.detach().clone() for name, p in trained.model.named_parameters()}


def alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
