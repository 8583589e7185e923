"""Kernels on standardised features: sums of terms over columns.

A sum of one Matérn term per block of features (latents of a potential, composition)
lets each block have its own length scale and weight; Duvenaud et al., NeurIPS 2011
(arXiv:1112.4394), on additive kernels. A linear term is Bayesian linear regression; a
term of sameness lets rows of one group share what is common to no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

EQUAL = 1e-5
"""Standardised values nearer than this are one group: rounding in single precision is
1e-6, and thousands of groups are 1e-3 apart."""
_AT_ONCE = 2**24
"""Entries of a matrix that are computed at once, 128 MiB each of some five passing
arrays; larger matrices are filled in blocks of rows or columns."""


TermKind = Literal["matern52", "linear", "same"]
"""Kinds of :class:`Term`."""


@dataclass(frozen=True)
class Term:
    """One summand of a kernel, on the columns ``start`` to ``stop`` (excluded)."""

    start: int
    """First column."""
    stop: int
    """One after the last column."""
    kind: TermKind = "matern52"
    """Matérn-5/2 of the distance; the scalar product per column; or 1 where the columns
    are equal and 0 elsewhere, for group numbers."""
    length: float = 1.0
    """Length scale, standardised feature distance; 1 for other terms."""
    weight: float = 1.0
    """Share of the prior variance; the weights of a kernel add up to 1."""


@dataclass(frozen=True)
class Kernel:
    """A sum of terms; ``kernel(a, b)`` is the prior correlation matrix."""

    terms: tuple[Term, ...]
    """At least one."""

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the matrix of shape (len(a), len(b))."""
        if len(a) * len(b) <= _AT_ONCE:
            return self._block(a, b)
        out = np.empty((len(a), len(b)))
        step = max(1, _AT_ONCE // len(b))
        for at in range(0, len(a), step):
            out[at : at + step] = self._block(a[at : at + step], b)
        if a is b:
            np.fill_diagonal(out, self.diagonal(a))
        return out

    def gram(self, a: np.ndarray) -> np.ndarray:
        """Return the lower triangle of ``kernel(a, a)``, to be factored in place.

        Shape (n, n), columns one after the other in memory; what is above the diagonal
        may be anything. Beside the result little more than a block is held.
        """
        n = len(a)
        if n * n <= _AT_ONCE:
            return np.asfortranarray(self._block(a, a))
        out = np.zeros((n, n), order="F")
        step = max(1, _AT_ONCE // n)
        for at in range(0, n, step):
            out[at:, at : at + step] = self._block(a[at:], a[at : at + step])
        np.fill_diagonal(out, self.diagonal(a))
        return out

    def _block(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return sum(
            (t.weight * correlation(t, a, b) for t in self.terms[1:]),
            start=self.terms[0].weight * correlation(self.terms[0], a, b),
        )

    def diagonal(self, a: np.ndarray) -> np.ndarray:
        """Return the correlation of each row with itself, shape (len(a),)."""
        total = np.zeros(len(a))
        for t in self.terms:
            own = (
                (a[:, t.start : t.stop] ** 2).mean(axis=1) if t.kind == "linear" else 1
            )
            total += t.weight * own
        return total

    def to_list(self) -> list[dict[str, Any]]:
        """Return plain data for JSON."""
        return [asdict(t) for t in self.terms]

    @classmethod
    def from_list(cls, data: Sequence[dict[str, Any]]) -> Kernel:
        """Make a kernel from what :meth:`to_list` gave."""
        return cls(tuple(Term(**t) for t in data))


def matern52(distance: np.ndarray) -> np.ndarray:
    """Return the Matérn-5/2 correlation for distances in length scales.

    >>> matern52(np.array([0.0])).tolist()
    [1.0]
    """
    s = np.sqrt(5.0) * distance
    value: np.ndarray = (1.0 + s + s**2 / 3.0) * np.exp(-s)
    return value


def matern52_slope(distance: np.ndarray) -> np.ndarray:
    """Return the derivative of :func:`matern52` by the logarithm of the length.

    >>> matern52_slope(np.array([0.0])).tolist()
    [0.0]
    """
    s = np.sqrt(5.0) * distance
    value: np.ndarray = s**2 * (1.0 + s) * np.exp(-s) / 3.0
    return value


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Euclidean distances, shape (len(a), len(b)).

    |a|² + |b|² - 2ab is one matrix product, several times faster than pair by pair.
    Its rounding, some 1e-7 of the feature norm, matters to no kernel that is flat at
    zero; equal rows of one array get exactly zero on the diagonal.
    """
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2.0 * (a @ b.T)
    if a is b:
        np.fill_diagonal(squared, 0.0)
    value: np.ndarray = np.sqrt(np.maximum(squared, 0.0))
    return value


def correlation(term: Term, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return one term's matrix, its weight left out, shape (len(a), len(b))."""
    same = a is b
    a = a[:, term.start : term.stop]
    b = a if same else b[:, term.start : term.stop]
    if term.kind == "linear":
        product: np.ndarray = a @ b.T / a.shape[1]
        return product
    if term.kind == "same":
        equal: np.ndarray = (
            (np.abs(a[:, None] - b[None]) < EQUAL).all(axis=2).astype(a.dtype)
        )
        return equal
    return matern52(distances(a, b) / term.length)
