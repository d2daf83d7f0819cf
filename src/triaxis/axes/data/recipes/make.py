"""`triaxis data make`: a recipe's variant with its manifest and card, written whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triaxis.axes.data.open import Opened, open_examples
from triaxis.axes.data.recipes.as_read import AsRead
from triaxis.axes.data.recipes.card import card_of, dataset_info
from triaxis.axes.data.recipes.chain import Chain, chained
from triaxis.axes.data.recipes.manifest import Manifest, Touched, digest_of
from triaxis.axes.data.recipes.output import Written, written_as
from triaxis.axes.data.recipes.shape import Shape
from triaxis.axes.data.recipes.spec import SUFFIXES, Recipe
from triaxis.axes.data.recipes.writing import writer_for
from triaxis.axes.data.seen import Seen
from triaxis.axes.data.sources import files_of, is_read
from triaxis.types import Example, TriaxisError

HEARD_EVERY = 1000  # rows
PROBLEMS_LISTED = 100  # in the manifest
PASSING = (".rows.jsonl.gz", ".epochs.jsonl", ".dataset_info.json")  # files beside an output that not every one has


@dataclass(frozen=True)
class Made:
    """What `make_files` left behind."""

    manifest: Manifest
    output: Path
    files: tuple[Path, ...]  # all of them, the output first
    recognised: tuple[str, ...]  # what the source was taken for, a line each
    problems: tuple[str, ...]  # rows of the source that were skipped, a line each, the first of them
    skipped: int  # all of them


def make_files(recipe: Recipe, *, force: bool = False, heard: Callable[[int], None] = lambda rows: None) -> Made:
    """Carry a recipe out. `heard` is told how many rows are written, now and then.

    Beside `NAME.jsonl` stand `NAME.manifest.json`, `NAME.card.md`, and where there is much to say `NAME.rows.jsonl.gz`
    (the rows that were touched). All of them are drafts until the last is complete. Raises TriaxisError where a file is
    there already and `force` is not set, the source can't be read, or the data can't give what a step asks for.
    """
    output = Path(recipe.output.path)
    drafts = _Drafts(output, force)
    _refuse_overwriting(recipe, drafts)
    source = recipe.source
    opened = open_examples(source.path, fields=source.fields, on_error=source.on_error, limit=source.limit)
    others: list[Opened] = []
    with drafts, _no_collection():
        touched = Touched(drafts.of(".rows.jsonl.gz"))
        try:
            read = AsRead(opened)
            chain = chained(
                recipe.steps, read, recipe.seed, sink=touched.take, opener=_opener(recipe, others), folder=output.parent
            )
            written = written_as(recipe, opened.format)
            shape, notes = _write(recipe, written, read, chain, drafts, heard)
        finally:
            touched.close()
        told, needed = touched.told(drafts.name(".rows.jsonl.gz"))
        drafts.drop_unless(needed, ".rows.jsonl.gz")
        for suffix, lines in chain.extras.items():
            drafts.write(suffix, "".join(f"{line}\n" for line in lines))
        manifest = Manifest(
            recipe=recipe.to_dict(),
            source=_source_of(recipe, opened),
            operations=chain.entries,
            rows=told,
            output={"path": recipe.output.path, "format": written.format.name, "rows": shape.rows}
            | digest_of(drafts.of("")),
            notes=notes + _not_read([opened, *others]),
        )
        info = dataset_info(recipe, written)
        if info is not None:
            drafts.write(".dataset_info.json", info)
        drafts.write(".card.md", card_of(recipe, opened, manifest, shape, written))
        drafts.write(".manifest.json", manifest.text())
        files = drafts.keep()
    return Made(manifest, output, files, tuple(opened.recognised), tuple(map(str, opened.problems)), opened.skipped)


def _write(
    recipe: Recipe, written: Written, read: AsRead, chain: Chain, drafts: _Drafts, heard: Callable[[int], None]
) -> tuple[Shape, list[str]]:
    """Every row into the draft of the output; its shape, and what is to be noted."""
    shape, twice, replayed = Shape(), 0, 0
    seen = Seen() if any(step.name == "replay" for step in recipe.steps) else None  # from elsewhere, with other ids
    same = recipe.output.format == "same"
    with writer_for(drafts.of(""), recipe.output.path) as writer:
        for example in chain.examples:
            row = written.row_of(example, read.before(example)) if same else written.new_row(example)
            writer.add(row, example.id)
            shape.add(example)
            twice += seen is not None and not seen.add(example.id)
            replayed += not example.fields  # only what came from elsewhere has no row of its own
            if shape.rows % HEARD_EVERY == 0:
                heard(shape.rows)
        if not shape.rows:
            raise TriaxisError(f"{recipe.output.path}: no row is left; {_where_they_went(chain)}")
    heard(shape.rows)
    notes = [f"{twice:,} rows have the id of a row before"] if twice else []
    if seen is not None:
        notes.append(f"{replayed:,} of the {shape.rows:,} rows written are replayed ({replayed / shape.rows:.4f})")
    return shape, notes + writer.notes()


def _not_read(sets: list[Opened]) -> list[str]:
    """What became of rows of the source, and of the sets that steps read, without a step having done it."""
    skipped = [f"{each.name}: {each.skipped:,} rows can't be used and are skipped" for each in sets if each.skipped]
    thoughts = [
        f"{each.name}: {each.earlier_thoughts:,} thoughts of earlier turns are not read; they stay in the rows"
        for each in sets
        if each.earlier_thoughts
    ]
    return skipped + thoughts


def _where_they_went(chain: Chain) -> str:
    for entry in chain.entries:
        if entry.rows_in and not entry.rows_out:
            why = ", ".join(f"{why} ({n:,})" for why, n in entry.left_out.most_common(3))
            return f"{entry.place} left out all {entry.rows_in:,}: {why}"
    return "the source gave none"


def _source_of(recipe: Recipe, opened: Opened) -> dict[str, Any]:
    """What the manifest says of the source."""
    path = Path(recipe.source.path)
    with contextlib.suppress(OSError):
        digest = digest_of(path) if path.exists() else {}
    return {
        "path": recipe.source.path,
        "format": opened.format.name,
        "recognised": list(opened.recognised),
        "rows": opened.rows,
        "skipped": opened.skipped,
        "problems": [str(problem) for problem in opened.problems[:PROBLEMS_LISTED]],
        **digest,
    }


def _opener(recipe: Recipe, others: list[Opened]) -> Callable[..., Iterable[Example]]:
    """Opens the other data sets of a recipe, as the source is opened; they are added to `others`."""

    def opened(path: str, **options: Any) -> Iterator[Example]:
        others.append(open_examples(path, on_error=recipe.source.on_error, **options))
        return iter(others[-1])

    return opened


def _refuse_overwriting(recipe: Recipe, drafts: _Drafts) -> None:
    """No option overwrites what the recipe reads, whatever it is called there."""
    read = [recipe.source.path]
    for step in recipe.steps:
        read += [str(getattr(step, "source", ""))] if step.name == "replay" else []
        read += list(getattr(step, "against", ()))
    files = files_of([path for path in read if path])
    for place in drafts.places():
        if is_read(place, files):
            raise TriaxisError(f"{place}: is read by the recipe itself; name another output")


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collection: rows make no cycles, and looking for some among rows that wait takes a sixth of the
    time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Drafts:
    """The files of one output, written beside their places and moved there together."""

    def __init__(self, output: Path, force: bool) -> None:
        self._output = output
        suffix = next(s for s in SUFFIXES if output.name.endswith(s))
        self._stem = output.name.removesuffix(suffix)
        if not self._stem:
            raise TriaxisError(f"{output}: is a suffix without a name; name a file")
        if not output.parent.is_dir():
            try:
                output.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TriaxisError(f"{output.parent}: can't be made ({error.strerror}); choose another place") from None
        there = [path for s in ("", ".manifest.json", ".card.md") if (path := self._place(s)).exists()]
        if there and not force:
            raise TriaxisError(f"{there[0]}: is there already; name another output, or take --force to replace it")
        self._made: dict[str, Path] = {}

    def name(self, suffix: str) -> str:
        """The name of a file beside the output; "" is the output itself."""
        return f"{self._stem}{suffix}" if suffix else self._output.name

    def places(self) -> list[Path]:
        """Every file that may be written, or removed as an earlier variant's."""
        return [self._place(suffix) for suffix in ("", ".manifest.json", ".card.md", *PASSING)]

    def _place(self, suffix: str) -> Path:
        return self._output.parent / self.name(suffix)

    def of(self, suffix: str) -> Path:
        """Where its draft is written."""
        path = self._output.parent / f".{self.name(suffix)}.{os.getpid()}.part"
        self._made[suffix] = path
        return path

    def write(self, suffix: str, text: str) -> None:
        self.of(suffix).write_text(text, encoding="utf-8")

    def drop_unless(self, needed: bool, suffix: str) -> None:
        if not needed:
            self._made.pop(suffix).unlink(missing_ok=True)

    def keep(self) -> tuple[Path, ...]:
        """Move all of them into their places, the manifest last: where it stands, everything does."""
        order = sorted(self._made, key=lambda suffix: (suffix == ".manifest.json", suffix))
        with contextlib.suppress(FileNotFoundError):  # of an earlier variant, whose other files go now
            self._place(".manifest.json").unlink()
        for old in PASSING:
            if old not in self._made:
                self._place(old).unlink(missing_ok=True)
        for suffix in order:
            self._made[suffix].replace(self._place(suffix))
        self._made.clear()
        return tuple(self._place(suffix) for suffix in order)

    def __enter__(self) -> _Drafts:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for path in self._made.values():
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise TriaxisError(f"{self._output}: can't be written ({error.strerror}); nothing is left of it") from None
