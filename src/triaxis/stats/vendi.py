"""The Vendi score: how many things that share nothing would be as diverse as these are (arXiv:2210.02410)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import blas

from triaxis.stats.entropy import effective_number
from triaxis.stats.intervals import Floats

Singles = NDArray[np.float32]
BLOCK = 2048  # rows multiplied at a time


class Covariance:
    """The sum of x xᵀ over unit vectors x: all that the score needs of them, in d x d numbers however many come."""

    def __init__(self, d: int) -> None:
        self.sum: Floats = np.zeros((d, d))  # the upper triangle counts
        self.n = 0  # vectors that are not 0

    def add(self, vectors: Singles | Floats) -> None:
        """More rows (n x d), brought to unit length here; rows of 0 are left out."""
        for at in range(0, len(vectors), BLOCK):
            block = np.array(vectors[at : at + BLOCK], dtype=np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            block = block[lengths > 0] / lengths[lengths > 0, None].astype(np.float32)
            self.n += len(block)
            if len(block):
                self.sum += blas.ssyrk(1.0, block.T)  # in Fortran's order as it stands: no copy

    def merge(self, other: Covariance) -> None:
        """The sum over both."""
        self.sum += other.sum
        self.n += other.n

    def score(self) -> float:
        """The Vendi score by its dual form, between 1 and min(n, d). Raises ValueError without a vector."""
        return _of_spectrum(linalg.eigvalsh(self.sum, lower=False), self.n)


def vendi_score(vectors: Iterable[Floats] | Floats) -> float:
    """The Vendi score of the rows of `vectors` (n x d), or of several such blocks, under the cosine of two rows.

    The kernel matrix (n x n) and the covariance (d x d) have the same eigenvalues above 0, so the smaller is taken
    for an array, and the covariance for blocks. Raises ValueError where no row differs from 0.
    """
    if isinstance(vectors, np.ndarray) and len(vectors) <= vectors.shape[1]:
        rows = np.asarray(vectors, dtype=np.float64)
        lengths = np.linalg.norm(rows, axis=1)
        rows = rows[lengths > 0] / lengths[lengths > 0, None]
        return vendi_of_kernel(rows @ rows.T)
    covariance: Covariance | None = None
    for block in [vectors] if isinstance(vectors, np.ndarray) else vectors:
        covariance = covariance or Covariance(block.shape[1])
        covariance.add(block)
    if covariance is None:
        raise ValueError("the Vendi score needs vectors that are not 0")
    return covariance.score()


def vendi_of_kernel(kernel: Floats) -> float:
    """The Vendi score of a similarity matrix (n x n, 1 on the diagonal, positive semidefinite)."""
    return _of_spectrum(linalg.eigvalsh(kernel), len(kernel))


def _of_spectrum(values: Floats, n: int) -> float:
    """exp of the entropy of the eigenvalues over n, which sum to 1; what rounding puts below 0 is 0."""
    if not n:
        raise ValueError("the Vendi score needs vectors that are not 0")
    shares = np.maximum(values, 0.0) / n
    return effective_number(shares[shares > 1e-9])
