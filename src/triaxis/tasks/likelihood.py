"""A choice by its likelihood: how likely each of the choices is after a prompt, kept as text and judged from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

RAW, PER_TOKEN = "likelihood", "likelihood_per_token"  # by what the choice is taken
DIGITS = 6  # nats to a millionth: what is judged is what is kept
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def written(log_probabilities: Sequence[float], tokens: Sequence[int]) -> str:
    """The likelihoods of the choices, by letter, as the text of a response: JSON."""
    told = {
        "log_probability": {letter: round(p, DIGITS) for letter, p in zip(LETTERS, log_probabilities, strict=False)},
        "tokens": dict(zip(LETTERS, tokens, strict=False)),
    }
    return json.dumps(told)


def likeliest(text: str, by: str) -> str | None:
    """The letter of the likeliest choice, the first of those that are equal; None where the text holds none.

    By `RAW` that of the highest log-probability; by `PER_TOKEN` of the highest one a token, which doesn't favour short
    choices.
    """
    told = _told(text)
    if told is None:
        return None
    log_probabilities, tokens = told
    scores = {k: p / tokens[k] if by == PER_TOKEN else p for k, p in log_probabilities.items()}
    return max(scores, key=lambda letter: (scores[letter], -LETTERS.index(letter)))


def _told(text: str) -> tuple[Mapping[str, float], Mapping[str, int]] | None:
    try:
        told = json.loads(text)
        log_probabilities, tokens = told["log_probability"], told["tokens"]
        whole = log_probabilities.keys() == tokens.keys() <= set(LETTERS) and min(tokens.values()) > 0
        numbers = all(math.isfinite(p) for p in log_probabilities.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (log_probabilities, tokens) if whole and numbers else None
