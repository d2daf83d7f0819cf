"""The one long table as a declared list of typed columns, and what makes a column a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from triaxis.types import AXES, GROUPS, MODES, VARIANTS, Judged, Outcome

UNGROUPED = "ungrouped"
ACCURACY = "accuracy"
BASE = "model.base"  # the factor by which a base row finds the runs that it serves
LABEL = pa.dictionary(pa.int32(), pa.string())  # few different texts on many rows

Need = Literal["needed", "default", "record", "summary", "measured"]


@dataclass(frozen=True)
class Column:
    """One column: its type, whether a table must bring it, what an empty cell means, and what is allowed in it.

    `need` says where it comes from. `needed`: the file must have it. `default`: an empty cell or an absent column gets
    `default`. `record` and `summary`: empty where a row is not one. `measured`: in the table only if the file has it.
    """

    name: str
    type: pa.DataType
    need: Need
    meaning: str
    default: str | int | bool | None = None
    values: tuple[str, ...] | None = None  # the only ones allowed
    minimum: int | None = None

    @property
    def number(self) -> bool:
        """Whether cells are numbers (truth values are not)."""
        return bool(pa.types.is_integer(self.type) or pa.types.is_floating(self.type))


COLUMNS = (
    Column("source", LABEL, "default", "where the rows come from: a paper's table, a laboratory, a study", ""),
    Column("run", LABEL, "needed", "id of the run; empty on a base row, which serves every run of its base and source"),
    Column("seed", pa.int64(), "default", "seed of the run; a replicate is another seed of the same condition", 0),
    Column("step", pa.int64(), "needed", "optimizer steps; 0 is the base model", minimum=0),
    Column("task", LABEL, "needed", "name of the task"),
    Column("group", LABEL, "default", "the task's group", UNGROUPED, (*GROUPS, UNGROUPED)),
    Column("mode", LABEL, "default", "how the model was asked", "default", MODES),
    Column("metric", LABEL, "default", "what the score is; one metric a task", ACCURACY),
    Column("higher_is_better", pa.bool_(), "default", "whether a larger score is the better one", True),
    Column("item", LABEL, "record", "id of the item; empty on a summary row"),
    Column("sample", pa.int64(), "default", "which response to the item, from 0", 0, minimum=0),
    Column(
        "outcome", LABEL, "record", "what became of the response", values=tuple(outcome.value for outcome in Outcome)
    ),
    Column("score", pa.float64(), "needed", "1 is always the desired behaviour; accuracy lies in [0, 1]"),
    Column("response_tokens", pa.float64(), "record", "tokens of the response (their mean, on a summary)", minimum=0),
    Column("n_items", pa.int64(), "summary", "items behind a summary; empty: it has no interval", minimum=1),
    Column("samples_per_item", pa.int64(), "summary", "responses an item behind a summary", minimum=1),
    Column("thought", pa.bool_(), "measured", "the response opened a thought"),
    Column("finished", pa.bool_(), "measured", "the response ended by itself"),
    Column("tokens", pa.int64(), "measured", "supervised tokens trained on so far", minimum=0),
    Column("epoch", pa.float64(), "measured", "passes over the training data so far", minimum=0),
    Column("loss", pa.float64(), "measured", "mean training loss since the checkpoint before, nats a token"),
    Column(
        "token_accuracy", pa.float64(), "measured", "share of supervised tokens that were the likeliest, same window"
    ),
    Column("log_probability", pa.float64(), "measured", "log-probability of the right answer, nats"),
    Column("sharpness", pa.float64(), "measured", "how sharp the minimum is at the checkpoint; larger is sharper"),
    Column("copied", pa.float64(), "measured", "share of the response's n-grams that stand in the training traces"),
    Column("verified_steps", pa.float64(), "measured", "steps of the solution that the response writes down right"),
    Column("backend", LABEL, "measured", "what had the model answer: ours, transformers, .. (docs/backends.md)"),
    Column("batch_size", pa.int64(), "measured", "responses that were asked for at a time", minimum=1),
    Column("dtype", LABEL, "measured", "of the weights that answered: float32, bfloat16"),
    Column("temperature", pa.float64(), "measured", "of the sampling; 0 takes the likeliest token", minimum=0),
    Column("asked_at", pa.int64(), "measured", "place of the item in the order of asking, from 0", minimum=0),
    Column("asked_of", pa.int64(), "measured", "items of the task that were there to be asked", minimum=1),
    Column("pilot", pa.bool_(), "measured", "the item is one of those that are asked at every checkpoint"),
    Column("smallest_effect", pa.float64(), "measured", "beyond or within which a gain is settled, and asking ends"),
    Column("variant_of", LABEL, "measured", "the task whose surface this task varies; empty: none"),
    Column("variant", LABEL, "measured", "what it varies", values=VARIANTS),
    Column("judged", LABEL, "measured", "what a judge says of the response", values=tuple(j.value for j in Judged)),
    Column("judge", LABEL, "measured", "who says it: model, endpoint, template (docs/safety.md)"),
    Column("text", pa.large_string(), "measured", "the response as the model wrote it"),
)
ADAPTIVE = ("asked_at", "asked_of", "pilot", "smallest_effect")  # of an evaluation that may stop early: all or none
BY_NAME = {column.name: column for column in COLUMNS}
NEEDED = tuple(column.name for column in COLUMNS if column.need == "needed")


DIAGNOSTIC = "diagnostic."


def is_diagnostic(name: str) -> bool:
    """Whether a column is a diagnostic of the checkpoint: `diagnostic.gradient_norm`."""
    return name.startswith(DIAGNOSTIC) and len(name) > len(DIAGNOSTIC)


def column_of(name: str) -> Column | None:
    """The column of that name where it is declared, or a diagnostic's; a factor is neither."""
    if is_diagnostic(name):
        return Column(name, pa.float64(), "measured", "a diagnostic of the checkpoint (docs/diagnostics.md)")
    return BY_NAME.get(name)


def is_factor(name: str) -> bool:
    """Whether a column is a factor: `model.*`, `data.*` or `optimization.*`."""
    axis, dot, factor = name.partition(".")
    return axis in AXES and bool(dot) and bool(factor)


def in_order(names: set[str]) -> list[str]:
    """The columns in their canonical order: declared ones, diagnostics by name, factors by axis and name."""
    declared = [column.name for column in COLUMNS if column.name in names]
    factors = sorted(filter(is_factor, names), key=lambda name: (AXES.index(name.partition(".")[0]), name))
    return declared + sorted(filter(is_diagnostic, names)) + factors
