"""The name of a run: readable, safe in a file name, and the same wherever the same is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from json import dumps
from typing import Any

from triaxis.study.axes import SETTINGS, default_of
from triaxis.types import Level

ID_LENGTH = 80
ID_ORDER = (  # of the settings in an id: what studies vary most comes first, since the end may be left out
    "model.base", "optimization.learning_rate", "data.noise_rate", "data.noise_kind", "data.structure", "data.mixture",
    "data.task", "data.source", "data.examples", "data.difficulty", "data.replay_share", "optimization.steps",
    "optimization.epochs",
)  # fmt: skip
LATER = (  # came after ids were: at their default they must not change one
    "data.noise_kind", "data.mixture", "optimization.decay_start", "optimization.final_ratio", "optimization.loss",
    "optimization.label_smoothing", "optimization.sam_rho", "model.dtype", "model.attention",
    "model.gradient_checkpointing", "model.lora_rank", "model.lora_alpha", "model.lora_targets", "model.chat_template",
    "model.trust_remote_code", "optimization.early_stopping", "optimization.stopping_patience",
    "optimization.smallest_improvement", "optimization.stable_length",
)  # fmt: skip
ID_ALWAYS = ID_ORDER[:3]  # shown even at their default: a list of runs is read by them


def run_id(settings: Mapping[str, Level], done: Mapping[str, Any]) -> str:
    """The id of a run with these settings `axis.key`; `done` is all else that it does, ready for JSON, its seed too."""
    told = {name: level for name, level in settings.items() if name not in LATER or level != default_of(name)}
    digest = sha256(dumps({"settings": told, **done}, sort_keys=True).encode()).hexdigest()[:8]
    end, text = f"-s{done['seed']}-{digest}", ""
    for name in (*ID_ORDER, *(name for name in SETTINGS if name not in ID_ORDER)):
        key, level = name.partition(".")[2], settings.get(name)
        usual = level == default_of(name) and name not in ID_ALWAYS
        if level is None or usual or key == "micro_batch_size":
            continue
        short = re.split(r"[/\\:]", str(level).rstrip("/\\"))[-1]
        part = f"{',' if text else ''}{key}={re.sub(r'[^A-Za-z0-9._+-]', '_', short)}"
        if len(text) + len(part) + len(end) <= ID_LENGTH:
            text += part
    return f"{text or 'run'}{end}"
