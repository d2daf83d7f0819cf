"""Raw columns made into the declared ones: types, defaults, allowed values; a cell that doesn't fit is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from triaxis.records.columns import (
    BASE,
    BY_NAME,
    COLUMNS,
    LABEL,
    NEEDED,
    Column,
    column_of,
    in_order,
    is_diagnostic,
    is_factor,
)
from triaxis.records.files import MISSING, Origin
from triaxis.types import AXES, TriaxisError

EXACT = 2.0**53  # whole numbers beyond it don't fit a float


def typed(raw: pa.Table, origin: Origin) -> tuple[pa.Table, list[str]]:
    """The declared columns of a raw table, with warnings that count what was dropped or defaulted.

    Factors are left as they came: their types need the whole table (`typed_factor`). Raises TriaxisError
    naming file, row and column.
    """
    if raw.num_rows == 0:
        raise TriaxisError(f"{origin.name}: a header and no rows; nothing to analyse")
    for field in raw.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise TriaxisError(f"{origin.name}, {field.name}: holds {field.type} values; give text or numbers")
    warnings = _unused(origin)
    columns: dict[str, pa.ChunkedArray] = {}
    diagnostics = [column for name in filter(is_diagnostic, raw.column_names) if (column := column_of(name))]
    for column in (*COLUMNS, *diagnostics):
        if column.name in raw.column_names:
            given = raw[column.name]
            if column.need == "measured" and pa.types.is_floating(given.type):
                given, told = _measurable(given, column, origin)
                warnings += told
            columns[column.name] = _typed(given, column, origin)
        elif column.need != "measured":
            columns[column.name] = pa.chunked_array([pa.nulls(raw.num_rows, column.type)])
    base = pa.array(codes(columns["run"]) == position(columns["run"], ""))
    for column in COLUMNS:
        if column.need == "default":
            columns[column.name], n = _filled(columns[column.name], column, base)
            if n and (column.name in raw.column_names or column.name == "group"):
                warnings.append(f"{origin.name}: no {column.name} in {_count(n)}: taken as {column.default!r}")
    for name in filter(is_factor, raw.column_names):
        columns[name] = raw[name]
    names = in_order(set(columns))
    return pa.table({name: columns[name] for name in names}), warnings


def _measurable(array: pa.ChunkedArray, column: Column, origin: Origin) -> tuple[pa.ChunkedArray, list[str]]:
    """A measurement without its infinite values: a loss that ran away is told, not averaged."""
    infinite = pc.is_inf(array)
    n = pc.sum(infinite).as_py() or 0
    if not n:
        return array, []
    kept = pc.if_else(infinite, pa.scalar(None, array.type), array)
    return kept, [f"{origin.name}: {column.name} is infinite in {_count(n)}: taken as missing"]


def _count(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _unused(origin: Origin) -> list[str]:
    names = origin.unused
    for name in names:
        axis, dot, rest = name.partition(".")
        near = get_close_matches(axis, (*AXES, "diagnostic"), 1, 0.7)
        if dot and near:
            raise TriaxisError(
                f"{origin.name}: column {name!r} names no axis; did you mean '{near[0]}.{rest}'? rename it"
            )
    if not names:
        return []
    near_names = {name: get_close_matches(name.lower(), list(BY_NAME), 1, 0.8) for name in names}
    told = [f"{name!r}" + (f" (did you mean {near_names[name][0]!r}?)" if near_names[name] else "") for name in names]
    return [f"{origin.name}: not used: {', '.join(told)}; a factor is a column named axis.factor, as model.base"]


def _filled(array: pa.ChunkedArray, column: Column, base: pa.Array) -> tuple[pa.ChunkedArray, int]:
    """The column with its default in empty cells, and how many rows of runs got it (base rows need no seed)."""
    if array.null_count == 0:
        return array, 0
    told = 0
    if column.name in ("group", "mode", "metric", "higher_is_better", "seed"):
        told = pc.sum(pc.and_(pc.is_null(array), pc.invert(base))).as_py() or 0
        told = pc.sum(pc.is_null(array)).as_py() if column.name == "group" else told
    if column.type != LABEL:
        return pc.fill_null(array, pa.scalar(column.default, column.type)), told
    return _with_default(array, str(column.default)), told


def _typed(array: pa.ChunkedArray, column: Column, origin: Origin) -> pa.ChunkedArray:
    where = _Where(origin, column.name)
    if column.type == pa.large_string():
        plain = array.cast(pa.string()) if not pa.types.is_large_string(array.type) else array
        return pc.fill_null(plain.cast(pa.large_string()), "")
    if pa.types.is_boolean(column.type):
        return _truths(array, where)
    result = _numbers(array, column, where) if column.number else _labels(array, column, where)
    if column.need == "needed" and column.name != "run" and result.null_count:
        row = int(pc.index(pc.is_null(result), True).as_py())
        raise TriaxisError(where(row, f"the {column.name} is missing; give it or leave the row out"))
    return result


class _Where:
    """Tells a mistake with its file, row and column."""

    def __init__(self, origin: Origin, column: str) -> None:
        self.origin, self.column = origin, column

    def __call__(self, row: int, what: str) -> str:
        return f"{self.origin.where(row)}, {self.column}: {what}"


# Text


def label(array: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """Any column as a dictionary of text, trimmed: equal columns are equal whatever they were read from."""
    if not pa.types.is_dictionary(array.type):
        array = pc.dictionary_encode(array)
    if isinstance(array, pa.ChunkedArray):
        chunks = array.unify_dictionaries().combine_chunks()
        array = chunks if not isinstance(chunks, pa.ChunkedArray) else chunks.chunk(0)
    return canonical(array.indices, pc.utf8_trim_whitespace(_as_text(array.dictionary)))


def canonical(indices: pa.Array, values: pa.Array) -> pa.ChunkedArray:
    """A dictionary column with the values that are used, each once, sorted; empty where the value is missing."""
    kept = pc.unique(pc.drop_null(values.take(pc.unique(pc.drop_null(indices)))))
    kept = kept.take(pc.array_sort_indices(kept))
    if not kept.equals(values):
        indices = pc.index_in(values, value_set=kept).take(indices)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(indices.cast(pa.int32()), kept)])


def _as_text(values: pa.Array) -> pa.Array:
    """Values as text; whole numbers without a decimal point, NaN as missing."""
    kind = values.type
    if pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
        whole = pc.all(pc.less(pc.abs(values), EXACT)).as_py() and pc.all(pc.equal(pc.floor(values), values)).as_py()
        values = values.cast(pa.int64()) if whole else values
    return values.cast(pa.string())


def position(column: pa.ChunkedArray, value: str) -> int:
    """The code of a value of a text column; -2 (a code that no cell has) where it isn't there."""
    values = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    return values.index(value) if value in values else -2


def _labels(array: pa.ChunkedArray, column: Column, where: _Where) -> pa.ChunkedArray:
    result = label(array).chunk(0)
    codes, values = result.indices, result.dictionary
    broken = pc.match_substring_regex(values, r"[\r\n]")
    if pc.any(broken).as_py():
        row = _row_of(codes, pc.index(broken, True).as_py())
        raise TriaxisError(where(row, "a line break inside the name (an open quote?); mend the row"))
    if column.values is not None:
        code = pc.index(pc.is_in(values, value_set=pa.array([*column.values, ""])), False).as_py()
        if code >= 0:
            word = values[code].as_py()
            near = get_close_matches(word.lower(), column.values, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(column.values)}"
            raise TriaxisError(where(_row_of(codes, code), f"unknown {column.name} {_shortened(word)!r}; {hint}"))
    if column.name == "run":  # an empty run is a value: the base
        return _with_default(pa.chunked_array([result]), "")
    if len(values) and values[0].as_py() == "":
        return canonical(codes, pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values))
    return pa.chunked_array([result])


def _with_default(column: pa.ChunkedArray, default: str) -> pa.ChunkedArray:
    if column.null_count == 0:
        return column
    flat = column.chunk(0)
    values = pa.concat_arrays([flat.dictionary, pa.array([default])])
    return canonical(pc.fill_null(flat.indices, len(values) - 1), values)


def _row_of(codes: pa.Array, code: int) -> int:
    return int(pc.index(codes, pa.scalar(code, codes.type)).as_py())


# Numbers and truth values


def _numbers(array: pa.ChunkedArray, column: Column, where: _Where) -> pa.ChunkedArray:
    kind = array.type
    if pa.types.is_temporal(kind):
        raise TriaxisError(f"{where.origin.name}, {where.column}: holds {kind} values; give numbers")
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        array = _parsed(label(array).chunk(0), float, "number", where)
    if pa.types.is_integer(array.type) and pa.types.is_integer(column.type):
        result = array.cast(column.type)
    else:
        result = _finite(array.cast(pa.float64()), column, where)
    if column.minimum is not None:
        low = pc.less(result, column.minimum)
        if pc.any(low).as_py():
            row = int(pc.index(low, True).as_py())
            raise TriaxisError(where(row, f"{_short(result[row].as_py())} is below {column.minimum}; mend the row"))
    return result


def _finite(values: pa.ChunkedArray, column: Column, where: _Where) -> pa.ChunkedArray:
    """Floats with NaN as missing; infinite ones, and fractions in a column of whole numbers, raise."""
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    infinite = pc.is_inf(values)
    if pc.any(infinite).as_py():
        row = int(pc.index(infinite, True).as_py())
        raise TriaxisError(where(row, "infinite; give a number or leave the cell empty"))
    if not pa.types.is_integer(column.type):
        return values
    odd = pc.or_(pc.not_equal(pc.floor(values), values), pc.greater(pc.abs(values), EXACT))
    if pc.any(odd).as_py():
        row = int(pc.index(odd, True).as_py())
        raise TriaxisError(where(row, f"{_short(values[row].as_py())} is not a whole number; give one"))
    return values.cast(column.type)


def _parsed(texts: pa.DictionaryArray, parse: Callable[[str], float], kind: str, where: _Where) -> pa.Array:
    """Numbers from text, each distinct value parsed once."""
    parsed: list[float | None] = []
    for code, value in enumerate(texts.dictionary.to_pylist()):
        try:
            parsed.append(None if value in MISSING else parse(value))
        except ValueError:
            row = _row_of(texts.indices, code)
            raise TriaxisError(
                where(
                    row,
                    f"{_shortened(value)!r} is not a {kind}; mend the cell or leave it empty"
                    if where.column not in NEEDED
                    else f"{_shortened(value)!r} is not a {kind}; give one",
                )
            ) from None
    return pa.array(parsed, pa.float64()).take(texts.indices)


def _truths(array: pa.ChunkedArray, where: _Where) -> pa.ChunkedArray:
    if pa.types.is_boolean(array.type) or pa.types.is_null(array.type):
        return array.cast(pa.bool_())
    words = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}

    def truth(word: str) -> float:
        if word.lower() not in words:
            raise ValueError(word)
        return words[word.lower()]

    numbers = _parsed(label(array).chunk(0), truth, "truth value (1 or 0)", where)
    return pa.chunked_array([pc.equal(numbers, 1.0)])


def _short(value: float) -> str:
    return f"{value:g}"


def _shortened(value: str) -> str:
    return value if len(value) <= 40 else value[:37] + "..."


# Factors


def typed_factor(name: str, parts: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """One factor over all its files: whole numbers, numbers, truth values where every cell is one, else text.

    NaN and the usual words for nothing are missing. Equal levels get one type whichever way the file wrote them. The
    name of a base stays text, whatever it looks like.
    """
    labels = label(pa.chunked_array([label(part).chunk(0) for part in parts], LABEL)).chunk(0)
    words = [None if word in MISSING else word for word in labels.dictionary.to_pylist()]
    present = [word for word in words if word is not None] if name != BASE else []
    if present and all(word.lower() in ("true", "false") for word in present):
        truths = [None if word is None else word.lower() == "true" for word in words]
        return pa.chunked_array([pa.array(truths, pa.bool_()).take(labels.indices)])
    numbers = [None if word is None else _number(word) for word in words]
    if present and all((word is None) == (number is None) for word, number in zip(words, numbers, strict=True)):
        found = np.array([number for number in numbers if number is not None])
        whole = bool(np.all((found == np.floor(found)) & (np.abs(found) < EXACT)))
        kind = pa.int64() if whole else pa.float64()
        exact = [None if number is None else int(number) if whole else number for number in numbers]
        return pa.chunked_array([pa.array(exact, kind).take(labels.indices)])
    return canonical(labels.indices, pa.array(words, pa.string()))


def _number(word: str) -> float | None:
    """The number that a word writes; None for anything else, `inf` and `1_000` included."""
    try:
        number = float(word) if "_" not in word else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def codes(array: pa.ChunkedArray) -> NDArray[np.int32]:
    """Numbers from 0 that are equal where cells are; -1 for an empty cell."""
    flat = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    indices = (flat if pa.types.is_dictionary(flat.type) else pc.dictionary_encode(flat)).indices
    return np.asarray(pc.fill_null(indices, -1).to_numpy(zero_copy_only=False), np.int32)
