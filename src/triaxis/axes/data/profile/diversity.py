"""How diverse a data set is: domains and difficulties, repeated rows and problems, the Vendi score of its prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triaxis.axes.data.profile.cells import CellCounts, Cells, Spread, joined, spread, totals
from triaxis.axes.data.profile.features import DIMENSIONS, hashed_counts
from triaxis.axes.data.profile.minhash import (
    SHINGLE,
    SIMILARITY,
    Clusters,
    NearDuplicates,
    exact_hash,
)
from triaxis.axes.data.profile.shingles import words_of
from triaxis.stats.entropy import effective_number
from triaxis.stats.vendi import Covariance
from triaxis.types import Example, NotEstimable, TriaxisError

SHOWN = 10  # clusters, and rows of each
BATCH_CHARACTERS, BATCH_ROWS = 1 << 19, 2048  # rows that are worth one vectorised pass


@dataclass(frozen=True)
class Cluster:
    """Rows that pose the same problem."""

    size: int
    rows: tuple[int, ...]  # the first SHOWN of them
    excerpts: tuple[str, ...]  # how its different prompts begin, three at most


@dataclass(frozen=True)
class DiversityProfile:
    """What `Diversity` found. A prompt is what stands before the response, without system turns."""

    rows: int
    exact_duplicates: int  # rows that repeat an earlier row in full, response included
    near_duplicates: int  # further rows that pose the problem of an earlier row, near or equal
    near_other_answer: int  # problems near an earlier one that have another answer: other problems, kept apart
    near_template: int  # problems near an earlier one, but by words of so many prompts that they look like a template
    same_prompt: int  # rows whose prompt is an earlier one's, character by character
    same_normalised: int  # ... but for case, spacing and punctuation
    near_prompt: int  # rows whose prompt is near an earlier one, and not equal normalised
    problems: int  # clusters of prompts
    effective_problems: float | NotEstimable  # as many problems, each in as many rows, are as diverse
    clusters: tuple[Cluster, ...]  # the largest
    similarity: float  # Jaccard's index from which prompts are near
    shingle: int  # words
    only_exact: int  # different prompts with no n-gram of their own
    cap: int | None  # n-grams a prompt was compared by at most, where memory did not hold all
    domains: Spread | NotEstimable
    difficulties: Spread | NotEstimable
    both: Spread | NotEstimable  # domain x difficulty
    cells: Cells  # rows by (domain, difficulty)
    vendi: float | NotEstimable
    vendi_most: int  # what it can be at most: of n rows in d dimensions, the smaller
    vendi_of: str


class Diversity:
    """Diversity in one pass.

    `text` is what of a row is compared: its prompt, or `with_trace`. `embeddings` (rows x numbers, or an .npy file of
    it) replace hashed words in the Vendi score.
    """

    def __init__(
        self,
        *,
        similarity: float = SIMILARITY,
        shingle: int = SHINGLE,
        text: Callable[[Example], str] | None = None,
        embeddings: Path | NDArray[np.floating] | None = None,
    ) -> None:
        self.text = text or problem_of
        self.embeddings = embeddings
        if embeddings is not None:
            _opened(embeddings)
        self._near = NearDuplicates(similarity=similarity, shingle=shingle)
        self._covariance = Covariance(DIMENSIONS)
        self._cells = CellCounts()
        self._whole: set[int] = set()
        self._prompts: set[int] = set()
        self._n = 0
        self._held: list[str] = []
        self._held_rows: list[int] = []
        self._held_answers: list[str | None] = []
        self._held_size = 0

    def add(self, example: Example) -> None:
        """One more row."""
        prompt = self.text(example)
        self._n += 1
        self._prompts.add(exact_hash(prompt))
        self._whole.add(row_hash(example))
        self._cells.add(example)
        self._held.append(prompt)
        self._held_rows.append(example.row or self._n)
        self._held_answers.append(example.reference)
        self._held_size += len(prompt)
        if self._held_size >= BATCH_CHARACTERS or len(self._held) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        words = words_of(self._held)
        self._near.add(self._held, self._held_rows, words, self._held_answers)
        if self.embeddings is None:
            self._covariance.add(hashed_counts(words))
        self._held, self._held_rows, self._held_answers, self._held_size = [], [], [], 0

    def fresh(self) -> Diversity:
        """The same part before any row."""
        near = self._near
        return Diversity(similarity=near.similarity, shingle=near.shingle, text=self.text, embeddings=self.embeddings)

    def merge(self, other: Diversity) -> None:
        """Take in the rows of another."""
        self._flush()
        other._flush()
        self._near.merge(other._near)
        self._covariance.merge(other._covariance)
        self._cells.merge(other._cells)
        self._whole |= other._whole
        self._prompts |= other._prompts
        self._n += other._n

    def result(self) -> DiversityProfile:
        """What was found so far. Raises TriaxisError where the embeddings are not of these rows."""
        self._flush()
        clusters = self._near.result()
        sizes = np.unique(clusters.near, return_counts=True)[1]
        exact = self._n - len(self._whole)
        normalised = self._n - len(clusters.excerpts)
        cells = self._cells.cells()
        vendi, most, of = self._vendi()
        return DiversityProfile(
            rows=self._n,
            exact_duplicates=exact,
            near_duplicates=self._n - len(sizes) - exact,
            near_other_answer=clusters.other_answer,
            near_template=clusters.template,
            same_prompt=self._n - len(self._prompts),
            same_normalised=normalised,
            near_prompt=len(clusters.excerpts) - len(sizes),
            problems=len(sizes),
            effective_problems=effective_number(sizes) if self._n else NotEstimable("there are no rows"),
            clusters=largest(clusters),
            similarity=self._near.similarity,
            shingle=self._near.shingle,
            only_exact=clusters.only_exact,
            cap=clusters.cap,
            domains=spread(totals(cells, 0)),
            difficulties=spread(totals(cells, 1)),
            both=_both(cells),
            cells=cells,
            vendi=vendi,
            vendi_most=most,
            vendi_of=of,
        )

    def _vendi(self) -> tuple[float | NotEstimable, int, str]:
        covariance, of = self._covariance, f"words and pairs of words of the prompts, hashed to {DIMENSIONS} numbers"
        if self.embeddings is not None:
            covariance, of = _embedded(self.embeddings, self._n)
        if not covariance.n:
            return NotEstimable("no prompt has a word"), 0, of
        return covariance.score(), min(covariance.n, len(covariance.sum)), of


def problem_of(example: Example) -> str:
    """What the row asks: the turns before the response, without system turns, which many rows share."""
    return "\n".join(turn.content for turn in example.turns if turn.role != "system")


def with_trace(example: Example) -> str:
    """The prompt and the thought: rows with another trace of the same problem are then not duplicates."""
    return f"{problem_of(example)}\n{example.thought or ''}"


def row_hash(example: Example) -> int:
    """64 bits of all that the row says: turns, thought and solution."""
    turns = [part for turn in example.turns for part in (turn.role, turn.content)]
    return exact_hash(*turns, "" if example.thought is None else "<think>" + example.thought, example.solution)


def largest(clusters: Clusters) -> tuple[Cluster, ...]:
    """The largest clusters, those of one row left out."""
    firsts, sizes = np.unique(clusters.near, return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:SHOWN]
    return tuple(_cluster(clusters, int(firsts[i])) for i in order if sizes[i] > 1)


def _cluster(clusters: Clusters, first: int) -> Cluster:
    members = np.flatnonzero(clusters.near == first)
    different = np.unique(clusters.normalised[members])[:3]
    excerpts = tuple(" ".join(clusters.excerpts[int(i)].split()) for i in different)
    return Cluster(len(members), tuple(clusters.rows[members[:SHOWN]].tolist()), excerpts)


def _both(cells: Cells) -> Spread | NotEstimable:
    sides = [spread(totals(cells, side)) for side in (0, 1)]
    if any(isinstance(side, NotEstimable) for side in sides):
        return NotEstimable("rows say no domain, or no difficulty")
    return spread(joined(cells))


def _opened(embeddings: Path | NDArray[np.floating]) -> NDArray[np.floating]:
    """The embeddings, read from the disk as they are used. Raises TriaxisError where they are none."""
    if not isinstance(embeddings, Path):
        held, name = embeddings, "embeddings"
    else:
        name = str(embeddings)
        try:
            held = np.load(embeddings, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise TriaxisError(f"{name}: no such file; check the path") from None
        except (OSError, ValueError, EOFError):
            raise TriaxisError(f"{name}: not an .npy file of numbers; save it with numpy.save") from None
    shape = getattr(held, "shape", None)
    if not isinstance(held, np.ndarray) or held.ndim != 2 or held.dtype.kind != "f" or 0 in held.shape:
        raise TriaxisError(f"{name}: embeddings are a table of floats, a row a row of the data; this is {shape}")
    return held


def _embedded(embeddings: Path | NDArray[np.floating], rows: int) -> tuple[Covariance, str]:
    held = _opened(embeddings)
    name = str(embeddings) if isinstance(embeddings, Path) else "embeddings"
    if len(held) != rows:
        raise TriaxisError(f"{name}: {len(held)} embeddings for {rows} rows of data; make one of each row, in order")
    covariance = Covariance(held.shape[1])
    for block in _finite(held, name):
        covariance.add(block)
    return covariance, f"{name}, {held.shape[1]} numbers a row"


def _finite(held: NDArray[np.floating], name: str) -> Iterator[NDArray[np.float32]]:
    for at in range(0, len(held), BATCH_ROWS):
        block = np.array(held[at : at + BATCH_ROWS], dtype=np.float32)
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            raise TriaxisError(f"{name}, row {at + bad[0] + 1}: not a finite number; make the embedding again")
        yield block
