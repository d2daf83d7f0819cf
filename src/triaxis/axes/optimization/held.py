"""How the processes of a run hold its module: whole in one, a copy in each (DDP), or a piece in each (FSDP2)."""

from __future__ import annotations

import copy
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from triaxis.axes.optimization.batches import Batch
from triaxis.axes.optimization.crew import Crew
from triaxis.axes.optimization.losses import Summed, can_chunk, summed
from triaxis.axes.optimization.masters import KEPT
from triaxis.axes.optimization.recipe import Recipe
from triaxis.types import TriaxisError

# torch's takes the square of a norm in place, which a tensor in pieces can't give.
NOT_IN_PIECES = ("adafactor",)


def hold(module: nn.Module, recipe: Recipe, crew: Crew) -> Held:
    """The module as this process trains it. Raises TriaxisError for an optimizer that can't update pieces."""
    if crew.size == 1:
        return Held(module, recipe)
    if crew.sharding == "ddp":
        return Copied(module, recipe, crew)
    check_sharding(recipe.optimizer, crew.sharding)
    return InPieces(module, recipe, crew)


def check_sharding(optimizer: str, sharding: str) -> None:
    """Raise TriaxisError for an optimizer that can't be had with a way to lay out a run."""
    if sharding == "fsdp" and optimizer in NOT_IN_PIECES:
        raise TriaxisError(
            f"optimization.optimizer: torch's {optimizer} can't update a model in pieces (fsdp); take --sharding ddp"
        )


class Loss(nn.Module):
    """The loss of a batch as a module, so that what wraps the module wraps its head as the loss uses it, in chunks."""

    def __init__(self, module: nn.Module, recipe: Recipe, chunks: bool | None = None) -> None:
        super().__init__()
        self.module, self.recipe, self.chunks = module, recipe, chunks

    def forward(self, batch: Batch) -> Summed:
        return summed(self.module, batch, self.recipe.loss, self.recipe.label_smoothing, self.chunks)


class Held:
    """A module that one process trains. `trained` has the parameters that the optimizers update."""

    def __init__(self, module: nn.Module, recipe: Recipe) -> None:
        self.module = self.trained = module
        self.loss: nn.Module = Loss(module, recipe)

    def add(self, batch: Batch, supervised: int, last: bool) -> Summed:
        """Add a micro-batch's part to the gradient; after the `last` one it is that of all processes."""
        part: Summed = self.loss(batch)
        torch.autograd.backward(part.objective / supervised)
        return part

    def set_out(self) -> None:
        """Begin to train: the module as it stands may have been measured meanwhile."""
        self.module.train()

    def collect(self) -> None:
        """Bring what was trained into `module` of the first process, where it is measured, on its device."""

    def weights(self) -> dict[str, Any]:
        """What of the module is kept to go on, after `collect`."""
        return self.module.state_dict()

    def put(self, weights: dict[str, Any]) -> None:
        """The opposite of `weights`."""
        self.module.load_state_dict(weights)

    def whole(self, optimizer: Optimizer) -> dict[str, Any]:
        """An optimizer's state as that of one process would be."""
        return optimizer.state_dict()

    def restore(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """The opposite of `whole`."""
        optimizer.load_state_dict(state)


class Copied(Held):
    """A copy in each process (torch's DistributedDataParallel, prepared by accelerate); gradients are summed."""

    def __init__(self, module: nn.Module, recipe: Recipe, crew: Crew) -> None:
        super().__init__(module, recipe)
        self.device = crew.device
        from accelerate import Accelerator, DistributedDataParallelKwargs

        # Buffers would be sent at each pass; nothing in training changes them.
        settings = DistributedDataParallelKwargs(broadcast_buffers=False)
        prepare = Accelerator(cpu=crew.device is None, mixed_precision="no", kwargs_handlers=[settings]).prepare_model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch renames the setting, accelerate knows the old name
            self.wrapped: DistributedDataParallel = prepare(self.loss)
        self.wrapped.register_comm_hook(None, lambda state, bucket: _sum(bucket.buffer()))
        self.loss = self.wrapped

    def add(self, batch: Batch, supervised: int, last: bool) -> Summed:
        alone: AbstractContextManager[None] = nullcontext() if last else self.wrapped.no_sync()
        with alone:
            return super().add(_moved(batch, self.device), supervised, last)


def _sum(gradients: torch.Tensor) -> torch.futures.Future[torch.Tensor]:
    """Gradients summed over processes, where DDP would take their mean: each is a part of one loss already."""
    work = dist.all_reduce(gradients, async_op=True)
    done: torch.futures.Future[torch.Tensor] = work.get_future().then(lambda future: future.value()[0])
    return done


class InPieces(Held):
    """A piece of every weight, gradient and moment in each process (torch's fully_shard, FSDP2).

    Layers are gathered as they are needed; the head and the embeddings, which the loss uses beside them, stay whole
    from the forward to the backward pass. `module` is another copy, whole, of the first process alone: it is measured,
    and waits on the CPU meanwhile.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, crew: Crew) -> None:
        super().__init__(module, recipe)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        self.crew = crew
        chunks = can_chunk(module)
        self.trained = copy.deepcopy(module)
        self.loss = Loss(self.trained, recipe, chunks)
        mesh = init_device_mesh("cuda" if crew.device else "cpu", (crew.size,))
        layers = set(getattr(module, "_no_split_modules", None) or ())
        for part in [m for m in self.trained.modules() if type(m).__name__ in layers]:
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
        fully_shard(self.loss, mesh=mesh)
        for part in self.loss.modules():
            if isinstance(part, FSDPModule):
                part.set_force_sum_reduction_for_comms(True)  # gloo has no mean
                part.set_gradient_divide_factor(1.0)  # each gradient is a part of one loss already: no mean is wanted
        if not crew.first:
            module.to("meta")

    def add(self, batch: Batch, supervised: int, last: bool) -> Summed:
        return super().add(_moved(batch, self.crew.device), supervised, last)

    def set_out(self) -> None:
        self.trained.train()
        if self.crew.first:
            self.module.to("cpu")

    @torch.no_grad()
    def collect(self) -> None:
        mine = dict(self.module.named_parameters()) if self.crew.first else {}
        for name, piece in self.trained.named_parameters():
            if piece.requires_grad:
                weight = _full(piece)
                if self.crew.first:
                    mine[name].copy_(weight)
        self._come_in()

    def _come_in(self) -> None:
        if self.crew.first and self.crew.device is not None:
            self.module.to(self.crew.device)

    @torch.no_grad()
    def put(self, weights: dict[str, Any]) -> None:
        if self.crew.first:
            super().put(weights)
            self._come_in()
        for name, piece in self.trained.named_parameters():
            if name in weights:
                piece.copy_(_piece(weights[name], piece))

    def whole(self, optimizer: Optimizer) -> dict[str, Any]:
        def own(tensor: torch.Tensor) -> torch.Tensor:
            full = _full(tensor)
            return full.cpu() if self.crew.first else full.new_empty(0)

        found: dict[str, Any] = tree_map_only(torch.Tensor, own, optimizer.state_dict())
        return found

    def restore(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        pieces = {
            place: {
                name: _piece(kept, parameters[place]) if isinstance(kept, torch.Tensor) else kept
                for name, kept in of_one.items()
            }
            for place, of_one in state["state"].items()
        }
        half = [p for p in parameters if not isinstance(p, nn.Parameter)]  # copies in fp32 of weights in half precision
        masters = {KEPT: [_piece(kept, p) for kept, p in zip(state.get(KEPT, ()), half, strict=False)]}
        optimizer.load_state_dict({**state, "state": pieces, **(masters if KEPT in state else {})})


def _moved(batch: Batch, device: torch.device | None) -> Batch:
    if device is None:
        return batch
    positions = None if batch.positions is None else batch.positions.to(device)
    return Batch(batch.input_ids.to(device), batch.labels.to(device), positions, batch.ids)


def _full(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the pieces of all processes in it; one that isn't in pieces is left alone."""
    gather = getattr(tensor, "full_tensor", None)
    full: torch.Tensor = tensor if gather is None else gather()
    return full


def _piece(tensor: torch.Tensor, like: Any) -> torch.Tensor:
    """This process's piece of a tensor that every process has whole; a count of steps has none and stays whole."""
    from torch.distributed.tensor import distribute_tensor

    if tensor.shape != like.shape:
        return tensor
    there = tensor.to(like.device, like.dtype)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)
