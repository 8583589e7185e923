"""One factor for every standard deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import t as student

from surrogates.base import Prediction

_FLOOR, _CEILING = 1e-2, 1e2
"""A scale outside these says that the surrogate is broken, not overconfident."""


@dataclass(frozen=True)
class Scale:
    """One factor for every standard deviation, with the weight of its evidence."""

    k: float = 1.0
    """Calibrated over raw standard deviation."""
    n: float = 0.0
    """Records behind it (fractional where a prior counts for less)."""

    def updated(self, z: np.ndarray) -> Scale:
        """Shrink towards this scale while there are few new errors.

        k² = (n₀k₀² + Σz²) / (n₀ + n): the posterior mean of a variance under a
        conjugate prior of n₀ pseudo-records (Gelman et al., Bayesian Data Analysis,
        section 2.6). A single scale is what repairs deep ensembles at least cost
        (Palmer et al., npj Comput. Mater. 8, 115 (2022)).

        Args:
            z: errors over *raw* standard deviations, shape (n,).

        >>> round(Scale(k=2.0, n=2.0).updated(np.array([1.0, 1.0])).k ** 2, 9)
        2.5
        """
        total = self.n + len(z)
        if total == 0:
            return self
        k2 = (self.n * self.k**2 + float((z**2).sum())) / total
        return Scale(float(np.clip(np.sqrt(k2), _FLOOR, _CEILING)), total)

    def covering(self, z: np.ndarray, level: float = 0.9) -> Scale:
        """Match the ``level`` interval instead of the variance, shrunk likewise.

        Errors of real surrogates have heavier tails than a Gaussian; a factor from
        their mean square makes all but the tails too wide, one from a split-conformal
        quantile makes the interval cover what it says.

        >>> round(Scale(k=1.0, n=0.0).covering(np.linspace(0, 1.645, 999)).k, 2)
        0.9
        """
        rank = int(np.ceil((len(z) + 1) * level))
        if rank > len(z):
            return self.updated(z)
        width = float(np.sort(np.abs(z))[rank - 1]) / float(ndtri(0.5 + level / 2))
        total = self.n + len(z)
        k2 = (self.n * self.k**2 + len(z) * width**2) / total
        return Scale(float(np.clip(np.sqrt(k2), _FLOOR, _CEILING)), total)

    def capped(self, n: float) -> Scale:
        """Return the same factor resting on at most ``n`` records."""
        return Scale(self.k, min(self.n, n))


def z_scores(y: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Return (y - mean) / std, shape (n,)."""
    scores: np.ndarray = (y - prediction.mean) / prediction.std
    return scores


def few(n: int) -> float:
    """Return the 90 % interval by n errors over that by endless ones (Student's t).

    Mean and size of a process are as unknown as n labels leave them, and errors on
    these records left out, which share both, do not show it.

    >>> round(few(12), 2), round(few(100), 2)
    (1.08, 1.01)
    """
    return float(student.ppf(0.95, n) / ndtri(0.95))
