"""Joint Gaussian beliefs about candidates, as the pool scorer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from surrogates.base import Prediction
from surrogates.gp.exact import root

CHUNK = 4096
"""Candidates looked at together: 500 records x 4,096 doubles are 16 MB."""
_KNOWN = 1e-12
"""Variance, relative to the largest, below which a pick has nothing left to tell."""


class Belief(Protocol):
    """A joint Gaussian over n candidates, given by its covariance columns."""

    @property
    def mean(self) -> np.ndarray:
        """Expected values, shape (n,)."""
        ...

    @property
    def variance(self) -> np.ndarray:
        """Variances, shape (n,)."""
        ...

    @property
    def noise(self) -> float:
        """Variance with which an evaluation is observed, not in ``variance``."""
        ...

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """Return the covariances of ``rows`` with ``picked``, (rows, picked)."""
        ...

    def restricted(self, rows: np.ndarray) -> Belief:
        """Return the belief about ``rows`` alone."""
        ...


@dataclass(frozen=True, eq=False)
class FactorBelief:
    """The belief of a finished prediction, whatever surrogate made it.

    A candidate's own uncertainty counts as something that evaluating it resolves.
    """

    prediction: Prediction
    noise: float = 0.0

    @property
    def mean(self) -> np.ndarray:
        """See :class:`Belief`."""
        return self.prediction.mean

    @property
    def variance(self) -> np.ndarray:
        """See :class:`Belief`."""
        squared: np.ndarray = self.prediction.std**2
        return squared

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """See :class:`Belief`."""
        factors, own = self.prediction.factors, self.prediction.residual
        shared: np.ndarray = factors[:, rows].T @ factors[:, picked]
        same = rows[:, None] == picked[None, :]
        result: np.ndarray = shared + same * own[rows][:, None] ** 2
        return result

    def restricted(self, rows: np.ndarray) -> Belief:
        """See :class:`Belief`."""
        return FactorBelief(self.prediction.take(rows), self.noise)


class Process(Protocol):
    """What is asked of an exact Gaussian process (:mod:`surrogates.exact_gp`)."""

    @property
    def noise(self) -> float:
        """Variance of the noise, in the target's unit squared."""
        ...

    def moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and variances without noise, each (n,)."""
        ...

    def kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return prior covariances, (len(a), len(b)), target's unit squared."""
        ...

    def whiten(self, b: np.ndarray) -> np.ndarray:
        """Return ``L⁻¹ k(records, b)``, (records, len(b)), L their Cholesky factor."""
        ...


@dataclass(frozen=True, eq=False)
class ProcessBelief:
    """The belief of an exact Gaussian process about a table of features."""

    process: Process
    x: np.ndarray
    """Features of the candidates, shape (n, d)."""
    mean: np.ndarray
    """See :class:`Belief`."""
    variance: np.ndarray
    """See :class:`Belief`."""

    @classmethod
    def of(cls, process: Process, x: np.ndarray) -> ProcessBelief:
        """Read the pool once; nothing of size (records, n) is kept.

        Args:
            process: a fitted Gaussian process.
            x: features, shape (n, d); float32 halves time and memory.
        """
        parts = [process.moments(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)]
        mean = np.concatenate([m for m, _ in parts]) if parts else np.zeros(0)
        variance = np.concatenate([v for _, v in parts]) if parts else np.zeros(0)
        return cls(process, x, mean.astype(float), variance.astype(float))

    @property
    def noise(self) -> float:
        """See :class:`Belief`."""
        return float(self.process.noise)

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """See :class:`Belief`."""
        process, there = self.process, self.x[picked]
        own = process.whiten(there)
        out = np.empty((len(rows), len(picked)))
        for start in range(0, len(rows), CHUNK):
            here = self.x[rows[start : start + CHUNK]]
            v = process.whiten(here)
            out[start : start + len(here)] = process.kernel(here, there) - v.T @ own
        same = rows[:, None] == picked[None, :]
        return np.where(same, self.variance[rows][:, None], out)

    def restricted(self, rows: np.ndarray) -> Belief:
        """See :class:`Belief`; keeps ``L⁻¹ k`` of the rows, (records, rows)."""
        process, x = self.process, self.x[rows]
        whitened = process.whiten(x)
        return _Kept(process, x, whitened, self.mean[rows], self.variance[rows])


@dataclass(frozen=True, eq=False)
class _Kept:
    """A few candidates of a process with everything for columns at hand."""

    process: Process
    x: np.ndarray
    whitened: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @property
    def noise(self) -> float:
        return float(self.process.noise)

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        prior = self.process.kernel(self.x[rows], self.x[picked])
        out = prior - self.whitened[:, rows].T @ self.whitened[:, picked]
        same = rows[:, None] == picked[None, :]
        result: np.ndarray = np.where(same, self.variance[rows][:, None], out)
        return result

    def restricted(self, rows: np.ndarray) -> Belief:
        return _Kept(
            self.process, self.x[rows], self.whitened[:, rows],
            self.mean[rows], self.variance[rows],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A belief once some candidates are evaluated as believed; their means stay."""

    base: Belief
    rows_given: tuple[int, ...]
    """What is taken as evaluated, in order."""
    updates: np.ndarray
    """Rows of the Cholesky factor that evaluating them adds, shape (given, n)."""
    variance: np.ndarray
    """See :class:`Belief`."""

    @classmethod
    def on(cls, base: Belief, rows: Sequence[int] | np.ndarray = ()) -> Conditioned:
        """Condition on ``rows`` of ``base``."""
        empty = np.zeros((0, len(base.mean)))
        belief = cls(base, (), empty, np.array(base.variance, dtype=float))
        given = np.asarray(rows, dtype=np.int64)
        if len(given):
            ahead = base.columns(np.arange(len(base.mean)), given)
            for j, row in enumerate(given):
                belief = belief.given(int(row), ahead[:, j])
        return belief

    @property
    def mean(self) -> np.ndarray:
        """See :class:`Belief`."""
        return self.base.mean

    @property
    def noise(self) -> float:
        """See :class:`Belief`."""
        return self.base.noise

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """See :class:`Belief`."""
        prior = self.base.columns(rows, picked)
        result: np.ndarray = prior - self.updates[:, rows].T @ self.updates[:, picked]
        return result

    def restricted(self, rows: np.ndarray) -> Belief:
        """See :class:`Belief`."""
        place = {int(r): i for i, r in enumerate(rows)}
        given = tuple(place.get(r, -1) for r in self.rows_given)
        base = self.base.restricted(rows)
        return Conditioned(base, given, self.updates[:, rows], self.variance[rows])

    def given(self, row: int, column: np.ndarray | None = None) -> Conditioned:
        """Return the belief with one more candidate evaluated.

        Args:
            row: which.
            column: its covariances under ``base``, where they are known already.
        """
        if column is None:
            every = np.arange(len(self.variance))
            column = self.base.columns(every, np.array([row]))[:, 0]
        column = column - self.updates.T @ self.updates[:, row]
        pivot = max(float(self.variance[row]), 0.0) + self.noise
        known = pivot <= _KNOWN * float(self.base.variance.max())
        step = np.zeros_like(column) if known else column / np.sqrt(pivot)
        # |covariance| <= sigma sigma' holds in exact arithmetic; single precision
        # breaks it where little is left to know, and the error would grow
        reach = np.sqrt(np.maximum(self.variance, 0.0))
        step = np.clip(step, -reach, reach)
        left = np.maximum(self.variance - step**2, 0.0)
        updates = np.vstack([self.updates, step])
        return Conditioned(self.base, (*self.rows_given, row), updates, left)


@dataclass(frozen=True, eq=False)
class Shifted:
    """A belief with other means and every standard deviation times a factor."""

    base: Belief
    shift: np.ndarray
    """Added to the means, shape (n,)."""
    scale: float = 1.0
    """On standard deviations, the noise's too."""

    @property
    def mean(self) -> np.ndarray:
        """See :class:`Belief`."""
        return np.asarray(self.base.mean + self.shift)

    @property
    def variance(self) -> np.ndarray:
        """See :class:`Belief`."""
        return np.asarray(self.scale**2 * self.base.variance)

    @property
    def noise(self) -> float:
        """See :class:`Belief`."""
        return self.scale**2 * self.base.noise

    def columns(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """See :class:`Belief`."""
        return np.asarray(self.scale**2 * self.base.columns(rows, picked))

    def restricted(self, rows: np.ndarray) -> Belief:
        """See :class:`Belief`."""
        return Shifted(self.base.restricted(rows), self.shift[rows], self.scale)


def joint(belief: Belief, rows: np.ndarray) -> Prediction:
    """Return a belief about ``rows`` as factors, for joint draws; cubic in them."""
    if isinstance(belief, Shifted):
        inner = joint(belief.base, rows)
        return Prediction(
            inner.mean + belief.shift[rows], belief.scale * inner.factors,
            belief.scale * inner.residual,
        )  # fmt: skip
    if isinstance(belief, FactorBelief):
        return belief.prediction.take(rows)
    local = belief.restricted(rows)
    every = np.arange(len(rows))
    unit = max(float(local.variance.mean()), 1e-12)
    factors = root(local.columns(every, every).astype(float), unit)
    return Prediction(np.asarray(local.mean, float), factors, np.zeros(len(rows)))
