"""What averaging does to errors, told by records that two members missed.

Ambiguity decomposition (A. Krogh and J. Vedelsby, NIPS 7, 231 (1995)): members that err
alike gain nothing by it, and how alike they err shows where two of them missed the same
records. For that the records are dealt into folds twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogates.base import Prediction

DEALS = 2
"""Times that the records are dealt into folds, so members that miss each record."""
_LIKE = 10  # records that are taken to err alike before any was seen


def dealt(n: int, folds: int, seed: int) -> list[np.ndarray]:
    """Return the rows that each member does not learn: the folds of every deal.

    Args:
        n: records.
        folds: of a deal; fewer where there are fewer records.
        seed: of the deals.
    """
    folds = min(folds, max(n, 2))
    draw = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    deals = [draw.permutation(n) % folds for _ in range(DEALS)]
    return [np.flatnonzero(fold == k) for fold in deals for k in range(folds)]


@dataclass(frozen=True, eq=False)
class Missed:
    """Every record by the members that missed it."""

    mean: np.ndarray
    """Shape (DEALS, n)."""
    std: np.ndarray
    """Likewise."""

    @classmethod
    def of(
        cls,
        folds: Sequence[np.ndarray],
        found: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> Missed:
        """Put together what each member says of the rows that it missed.

        Args:
            folds: the rows, as :func:`dealt` gives them.
            found: means and sigmas of these rows.
        """
        members = len(folds) // DEALS
        mean, std = np.zeros((2, DEALS, sum(map(len, folds)) // DEALS))
        for k, (rows, (its, sigma)) in enumerate(zip(folds, found, strict=True)):
            mean[k // members, rows], std[k // members, rows] = its, sigma
        return cls(mean, std)

    @property
    def prediction(self) -> Prediction:
        """The average of those who missed a record, with their typical sigma."""
        variance = (self.std**2).mean(axis=0)
        return Prediction.apart(self.mean.mean(axis=0), np.sqrt(variance))

    def alike(self, y: np.ndarray) -> float:
        """Return how alike members err (:func:`alike`), for labels of shape (n,)."""
        return alike(*(y - self.mean))


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of the errors that two members make on the same records.

    Few records say little of it: ten more count as if both had erred alike.

    Args:
        a: errors of one, shape (n,).
        b: of the other, which are as large on average.

    >>> alike(np.array([1.0] * 90), np.array([1.0] * 90))
    1.0
    """
    square = float((a**2 + b**2).mean()) / 2
    shared = 1.0 - float(((a - b) ** 2).mean()) / 2 / square if square > 0 else 1.0
    return (len(a) * float(np.clip(shared, 0.0, 1.0)) + _LIKE) / (len(a) + _LIKE)


def averaged(alike: float, members: int) -> float:
    """Return the root mean square error of an average over that of one member.

    The mean of K errors of equal size e² and correlation c has (1 + (K - 1) c) / K of
    their square.

    >>> averaged(0.0, 4), averaged(1.0, 4)
    (0.5, 1.0)
    """
    return math.sqrt((1.0 + (members - 1) * alike) / members)


def of_all(alike: float, members: int) -> float:
    """Return the error of an average of all over that of those that missed a record."""
    return averaged(alike, members) / averaged(alike, DEALS)
