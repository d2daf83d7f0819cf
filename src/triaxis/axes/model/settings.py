"""The settings of the model axis as one value: what is loaded, in which numbers, and which of it is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTO = "auto"
FROM_TOKENIZER = "tokenizer"
ALL_LINEAR = "all-linear"  # peft's word for every linear layer but the head


@dataclass(frozen=True)
class ModelSettings:
    """A base and how it is used; the defaults are those of a study (study/axes.py)."""

    base: str
    dtype: str = "float32"
    attention: str = AUTO  # what transformers takes for the architecture
    gradient_checkpointing: bool = False
    lora_rank: int = 0  # 0 trains all weights
    lora_alpha: float = 32.0  # an adapter's output is scaled by alpha / rank
    lora_targets: str = ALL_LINEAR  # or names of layers: "q_proj, v_proj"
    chat_template: str = FROM_TOKENIZER  # or a file, with the digest of its content: "mine.jinja#0a1b2c3d4e5f"
    trust_remote_code: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ModelSettings:
        """From the settings `model.*` of a condition, the prefix left off; what is missing has its default."""
        return cls(**settings)

    @property
    def targets(self) -> str | list[str]:
        """The layers that get an adapter, in peft's form."""
        names = [name for name in re.split(r"[,\s]+", self.lora_targets) if name]
        return ALL_LINEAR if names == [ALL_LINEAR] else names
