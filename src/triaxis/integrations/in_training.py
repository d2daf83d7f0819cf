"""Measuring a model in the middle of its training, so that the training doesn't notice."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from triaxis.evaluate import measure
from triaxis.evaluate.backends import check_backend, choose
from triaxis.execute.run import questions_for
from triaxis.study.evaluation import Evaluation
from triaxis.types import Record, TriaxisError

SAMPLED = 64  # numbers of each weight that tell a model from another


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put everything back that an evaluation may touch: the modes of the modules, and every random stream."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy)
        torch.random.set_rng_state(cpu)
        if devices:
            torch.cuda.set_rng_state_all(devices)


def freed() -> None:
    """Give the memory of the evaluation back, which training may need to the last byte."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def wait(args: Any) -> None:
    """Hold every process here until all have come."""
    if args.world_size > 1:
        args.distributed_state.wait_for_everyone()  # accelerate's


def is_sharded(model: nn.Module, args: Any) -> bool:
    """Whether no process holds all weights (FSDP, ZeRO-3, tensor parallel): then one alone can't run the model."""
    if getattr(args, "fsdp", None) and args.world_size > 1:
        return True
    return any(hasattr(p, "ds_id") or hasattr(p, "device_mesh") for p in model.parameters())


class Measurer:
    """The fixed questions of a run, put to its model at one checkpoint after another."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        tasks: Mapping[str, Sequence[str]],
        evaluation: Evaluation,
        run: str,
        tell: Callable[[str], None],
    ) -> None:
        self.run, self.evaluation = run, evaluation
        self.tokenizer = _fit(tokenizer, model, tell)
        try:
            self.asked = questions_for(tasks, evaluation.model_dump(mode="json"), self.tokenizer, _context(model))
        except TriaxisError as error:
            raise TriaxisError(f"TrajectoryCallback: {error}") from None
        check_backend(evaluation.backend)
        self.backend = choose(evaluation.backend, model.config).name

    def records(self, model: Any, step: int, *, of_base: bool) -> list[Record]:
        """Every question answered and judged at this step."""
        return measure(
            model,
            self.tokenizer,
            self.asked,
            run="" if of_base else self.run,
            step=step,
            temperature=self.evaluation.temperature,
            batch_size=self.evaluation.batch_size,
            backend=self.backend,
        )

    def weights(self, model: Any) -> str:
        """A short hash of some numbers of every weight; of an adapter, which starts as nothing, none."""
        digest = hashlib.sha256()
        for name, weight in model.named_parameters():
            if "lora_" in name:
                continue
            flat = weight.detach().flatten()
            some = flat[:: max(1, len(flat) // SAMPLED)].float().cpu().numpy()
            digest.update(f"{tuple(weight.shape)}".encode())
            digest.update(some.tobytes())
        return digest.hexdigest()[:12]


def _fit(tokenizer: Any, model: Any, tell: Callable[[str], None]) -> Any:
    """A copy of the trainer's tokenizer that can ask and knows where a turn ends; the trainer's own is left as it is.

    Raises TriaxisError where there is none, or it has no chat template.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # of a processor
    if tokenizer is None:
        raise TriaxisError("TrajectoryCallback: the trainer has no tokenizer; give it processing_class, or tokenizer=")
    if getattr(tokenizer, "chat_template", None) is None:
        raise TriaxisError(
            "TrajectoryCallback: the tokenizer has no chat template, by which items are asked; set its chat_template"
        )
    tokenizer = copy.deepcopy(tokenizer)
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    whole = tokenizer.apply_chat_template(turns, return_dict=False)
    asked = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    after = whole[len(asked) :]
    if tokenizer.eos_token_id not in after:
        ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        listed = ends if isinstance(ends, list) else [ends]
        known = [token for token in after if token in listed]
        if known:
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(known[0])
        else:
            tell(
                f"the chat template puts no {tokenizer.eos_token} after a response: a model that never learns it runs"
                " into the token limit (outcome truncated)"
            )
    if tokenizer.eos_token_id is None:
        raise TriaxisError("TrajectoryCallback: the tokenizer has no end token; nothing would stop an answer")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is told by its place
    return tokenizer


def _context(model: Any) -> int:
    """Tokens that a model takes in; one that states none takes in what comes."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31 - 1)
