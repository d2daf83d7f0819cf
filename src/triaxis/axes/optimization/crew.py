"""The processes that train one run together: who each of them is, where it computes, and what they tell one another."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_map_only

from triaxis.axes.optimization.batches import IGNORED, Batch
from triaxis.types import Sharding, TriaxisError

TIMEOUT = timedelta(minutes=10)  # for the slowest process of a step; nobody waits for an evaluation in this way
# What a process computes that has no row left in a step: two tokens of which none carries loss. Each pass through a
# sharded model is a meeting of all processes, so all of them make equally many.
NOTHING = Batch(torch.zeros((1, 2), dtype=torch.int64), torch.full((1, 2), IGNORED), None, ())


@dataclass(frozen=True)
class Crew:
    """This process among those of its run. Every method but `tell` and `heard` is called by all of them at once."""

    rank: int = 0
    size: int = 1
    sharding: Sharding = "ddp"
    device: torch.device | None = None  # where models and batches are moved; None: they stay where they are
    orders: Any = None  # the group in which the first tells the others what to do

    @property
    def first(self) -> bool:
        """Whether this is the process that measures and writes."""
        return self.rank == 0

    def together(self, batches: Sequence[Batch]) -> tuple[list[Batch], int]:
        """The micro-batches of this process, filled up to as many as any has, and the supervised tokens of them all."""
        supervised = sum(b.supervised for b in batches)
        if self.size == 1:
            return list(batches), supervised
        told = self._gathered([supervised, len(batches)])
        most = max(passes for _, passes in told)
        return [*batches, *[NOTHING] * (most - len(batches))], sum(tokens for tokens, _ in told)

    def summed(self, *values: float) -> tuple[float, ...]:
        """The sums of these numbers over all processes, in fp64."""
        if self.size == 1:
            return values
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def listed(self, names: Sequence[str]) -> list[str]:
        """The names that each process has, one after the other."""
        if self.size == 1:
            return list(names)
        told: list[list[str]] = [[] for _ in range(self.size)]
        dist.all_gather_object(told, list(names))
        return [name for each in told for name in each]

    def tell(self, name: str, *given: Any) -> None:
        """In the first process: tell the others to do what it is about to do; they have `heard` nothing until then."""
        if self.size > 1 and self.first:
            dist.broadcast_object_list([(name, *given)], src=0, group=self.orders)

    def heard(self) -> tuple[Any, ...]:
        """In the others: what the first tells to do, however long it takes."""
        told: list[Any] = [None]
        dist.broadcast_object_list(told, src=0, group=self.orders)
        heard: tuple[Any, ...] = told[0]
        return heard

    def given(self, state: Any) -> Any:
        """Nested mappings and lists of the first process in all of them, one tensor after the other, on the CPU."""
        if self.size == 1:
            return state
        frame = [tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), state) if self.first else None]
        dist.broadcast_object_list(frame, src=0)

        def sent(mine: torch.Tensor) -> torch.Tensor:
            there = torch.empty_like(mine, device="cpu") if mine.is_meta else mine.detach()
            there = there.contiguous().to(self.device or "cpu")
            dist.broadcast(there, src=0)
            return there.cpu()

        return tree_map_only(torch.Tensor, sent, state if self.first else frame[0])

    def _gathered(self, values: Sequence[int]) -> list[list[int]]:
        mine = torch.tensor(values, device=self.device)
        told = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(told, mine)
        return [each.tolist() for each in told]


ALONE = Crew()


def join(rank: int, size: int, store: str) -> Crew:
    """Become one of `size` processes that find each other through the file `store`; a file, since a port can be taken.

    Each has the device of its number: a GPU where there is one for each, the CPU where there is none.
    """
    gpus = check_devices(size)
    if gpus:
        torch.cuda.set_device(rank)
    _stay_here()
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    os.environ.update({name: str(value) for name, value in told.items()})  # accelerate asks for them
    dist.init_process_group(
        "nccl" if gpus else "gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=TIMEOUT
    )
    # Nobody has to be told what to do within minutes: the first may be busy with an evaluation.
    orders = dist.new_group(backend="gloo", timeout=timedelta(days=365))
    return Crew(rank, size, device=torch.device("cuda", rank) if gpus else None, orders=orders)


def check_devices(size: int) -> int:
    """The GPUs that there are. Raises TriaxisError where there are some, and fewer than processes."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < size:
        raise TriaxisError(
            f"--processes-per-run: {size} processes need a GPU each, and there are {gpus}; take {gpus} or fewer"
        )
    return gpus


def _stay_here() -> None:
    """Let gloo talk over the loopback: by the machine's name it finds no way where that name doesn't resolve."""
    names = {name for _, name in socket.if_nameindex()}
    for name in ("lo", "lo0"):
        if name in names:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def finite(parameters: Sequence[torch.Tensor], crew: Crew) -> bool:
    """Whether all weights are finite, in all processes."""
    here = all(bool(torch.isfinite(_own(p)).all()) for p in parameters)
    (bad,) = crew.summed(0.0 if here else 1.0)
    return math.isclose(bad, 0.0)


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor."""
    own: torch.Tensor = getattr(tensor, "to_local", lambda: tensor)()
    return own
