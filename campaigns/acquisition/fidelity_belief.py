"""A joint belief about all candidates at all fidelities.

Autoregressive co-kriging: f_0 is a process, f_l = rho_(l-1) f_(l-1) + delta_l with
processes delta_l that know nothing of each other (M. C. Kennedy and A. O'Hagan,
Biometrika 87, 1 (2000)). Where a candidate is answered at a fidelity only once it is
answered at all below, the posterior is that of the deltas one by one (L. Le Gratiet and
J. Garnier, Int. J. Uncertain. Quantif. 4, 365 (2014)), so every covariance is a sum of
products, and a batch of asks conditions the rest exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from campaigns.acquisition.beliefs import Belief


@dataclass(frozen=True, eq=False)
class FidelityBelief:
    """A joint Gaussian over all candidates at all fidelities.

    Row ``level * n + i`` is candidate i at that fidelity, so that everything that works
    on a :class:`~campaigns.acquisition.beliefs.Belief` works on it.
    """

    deltas: tuple[Belief, ...]
    """Of each fidelity, what it adds to the one below; n candidates each."""
    slopes: tuple[float, ...]
    """rho of each fidelity but the cheapest: its unit per unit of the one below."""
    unknown: np.ndarray
    """1 where a candidate is not answered at a fidelity yet, else 0, (levels, n)."""
    mean: np.ndarray
    """Expected values, level by level, shape (levels * n,)."""

    @property
    def n(self) -> int:
        """Candidates."""
        return int(self.unknown.shape[1])

    @property
    def levels(self) -> int:
        """Fidelities."""
        return len(self.deltas)

    @property
    def noise(self) -> float:
        """An answer is the value itself; its scatter is within the deltas."""
        return 0.0

    @property
    def variance(self) -> np.ndarray:
        """See :class:`~campaigns.acquisition.beliefs.Belief`; shape (levels * n,)."""
        total = np.zeros((self.levels, self.n))
        for k, delta in enumerate(self.deltas):
            for level in range(k, self.levels):
                share = self._passed[k, level] ** 2
                total[level] += share * self.unknown[k] * delta.variance
        return total.ravel()

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """See :class:`~campaigns.acquisition.beliefs.Belief`."""
        a, i = np.divmod(rows, self.n)
        b, j = np.divmod(picked, self.n)
        out = np.zeros((len(rows), len(picked)))
        own, place = np.unique(i, return_inverse=True)
        for k, delta in enumerate(self.deltas):
            left = self._passed[k, a] * self.unknown[k][i]
            right = self._passed[k, b] * self.unknown[k][j]
            if left.any() and right.any():
                out += np.outer(left, right) * delta.columns(own, j)[place]
        return out

    def restricted(self, rows: np.ndarray) -> Belief:
        """See :class:`~campaigns.acquisition.beliefs.Belief`: rows of one fidelity."""
        level = int(rows[0]) // self.n if len(rows) else 0
        if not (rows // self.n == level).all():
            raise ValueError("Expected rows of one fidelity")
        part = self.about(rows - level * self.n)
        return _OneLevel(part, level)

    def about(self, candidates: np.ndarray) -> FidelityBelief:
        """Return the belief about some candidates, at all fidelities."""
        mean = self.mean.reshape(self.levels, self.n)[:, candidates].ravel()
        return FidelityBelief(
            tuple(d.restricted(candidates) for d in self.deltas), self.slopes,
            self.unknown[:, candidates], mean,
        )  # fmt: skip

    def dearest(self) -> Belief:
        """Return the belief about the dearest fidelity alone."""
        return _OneLevel(self, self.levels - 1)

    @cached_property
    def _passed(self) -> np.ndarray:
        """What one unit of a fidelity (row) is in a dearer one (column); 0 below."""
        levels = self.levels
        return np.array(
            [
                [np.prod(self.slopes[k:at]) if k <= at else 0.0 for at in range(levels)]
                for k in range(levels)
            ]
        )


@dataclass(frozen=True, eq=False)
class _OneLevel:
    """One fidelity of a joint belief."""

    whole: FidelityBelief
    level: int

    @property
    def mean(self) -> np.ndarray:
        return self.whole.mean[self._rows]

    @property
    def variance(self) -> np.ndarray:
        return self.whole.variance[self._rows]

    @property
    def noise(self) -> float:
        return self.whole.noise

    @property
    def _rows(self) -> slice:
        return slice(self.level * self.whole.n, (self.level + 1) * self.whole.n)

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        start = self.level * self.whole.n
        return self.whole.columns(rows + start, picked + start)

    def restricted(self, rows: np.ndarray) -> Belief:
        return _OneLevel(self.whole.about(rows), self.level)
