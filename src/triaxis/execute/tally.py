"""What training came to step by step, so that runs with other checkpoints can share it and each still tell its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Told = tuple[float, int, int]  # of a step: summed cross-entropy in nats, tokens predicted right, supervised tokens


@dataclass
class Tally:
    """The steps since `first`, as far back as a checkpoint still needs them."""

    first: int = 0  # steps before those that are told
    told: list[Told] = field(default_factory=list)
    pieces: list[tuple[int, float]] = field(default_factory=list)  # (step, seconds since the piece before)
    paid: int = 0  # up to this step training is on the account of other runs

    def add(self, step: int, told: Sequence[Told], seconds: float) -> None:
        """Take in the steps up to `step`."""
        self.told += told
        self.pieces.append((step, seconds))

    def window(self, since: int, step: int) -> tuple[float | None, float | None]:
        """Mean loss and share of tokens predicted right, from after step `since` to `step`; None without tokens."""
        nats, right, tokens = 0.0, 0, 0
        for of_step in self.told[since - self.first : step - self.first]:
            nats, right, tokens = nats + of_step[0], right + of_step[1], tokens + of_step[2]
        return (nats / tokens, right / tokens) if tokens else (None, None)

    def seconds(self, since: int, step: int) -> float:
        """What the steps after `since`, up to `step`, took; both are ends of pieces."""
        return sum(seconds for end, seconds in self.pieces if since < end <= step)

    def forget(self, since: int) -> None:
        """Let go of what no checkpoint needs any more."""
        self.told = self.told[max(0, since - self.first) :]
        self.first = max(self.first, since)
        self.pieces = [piece for piece in self.pieces if piece[0] > since]

    def state(self) -> dict[str, Any]:
        """For torch.save."""
        return {"first": self.first, "told": self.told, "pieces": self.pieces, "paid": self.paid}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Tally:
        """From what `state` gave."""
        told, pieces = ([tuple(one) for one in state[name]] for name in ("told", "pieces"))
        return cls(int(state["first"]), told, pieces, int(state["paid"]))
