"""The shape of what was written, for the card: rows by structure, lengths, domains and difficulties."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from triaxis.axes.data.recipes.select import level_text
from triaxis.types import Example

MOST = 1000  # different domains or difficulties that are counted each by itself


_STRUCTURES = {  # (has a thought, has no solution)
    (True, False): "thought and solution",
    (True, True): "thought alone",
    (False, False): "solution alone",
    (False, True): "nothing",
}


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MOST else "others"] += 1


@dataclass
class Shape:
    """Counts over examples; memory grows by two numbers a row."""

    rows: int = 0
    structure: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    difficulties: Counter[str] = field(default_factory=Counter)
    prompt_words: array[int] = field(default_factory=lambda: array("q"))
    response_words: array[int] = field(default_factory=lambda: array("q"))

    def add(self, example: Example) -> None:
        self.rows += 1
        thought, solution = example.thought, example.solution
        self.structure[(bool(thought), not solution or solution.isspace())] += 1
        _count(self.domains, example.domain)
        _count(self.difficulties, level_text(example))
        words = 0
        for turn in example.turns:
            words += turn.content.count(" ") + turn.content.count("\n") + 1
        self.prompt_words.append(words)
        if thought:
            solution += thought
        self.response_words.append(solution.count(" ") + solution.count("\n") + 1)

    def by_structure(self) -> Counter[str]:
        """Rows by what their responses consist of."""
        return Counter({_STRUCTURES[kind]: n for kind, n in self.structure.items()})

    @staticmethod
    def quantiles(values: array[int]) -> tuple[int, int, int, int]:
        """Smallest, median, 95 %, largest."""
        found = np.quantile(values, (0, 0.5, 0.95, 1), method="nearest")
        return int(found[0]), int(found[1]), int(found[2]), int(found[3])
