"""What to ask at which fidelity: joint beliefs of all fidelities, and worth per cost.

Autoregressive co-kriging: f_0 is a process, f_l = rho_(l-1) f_(l-1) + delta_l with
processes delta_l that know nothing of each other (M. C. Kennedy and A. O'Hagan,
Biometrika 87, 1 (2000)). Where a candidate is answered at a fidelity only once it is
answered at all below, the posterior is that of the deltas one by one (L. Le Gratiet and
J. Garnier, Int. J. Uncertain. Quantif. 4, 365 (2014)), so every covariance is a sum of
products, and a batch of asks conditions the rest exactly.

Worth of an ask: expected improvement of the dearest fidelity times its correlation
with what is asked (D. Huang et al., Struct. Multidiscip. Optim. 32, 369 (2006)), or the
information about the dearest fidelity's best value (MF-MES: S. Takeno et al., ICML
2020, arXiv:1901.08275), over the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm

from campaigns.acquisition.beliefs import Belief, Conditioned
from campaigns.acquisition.knowledge import hopeful, max_values
from campaigns.acquisition.pool import greedy_batch
from campaigns.acquisition.recipes import (
    FidelityEntropy,
    FidelityImprovement,
    FidelityRule,
    Promotion,
)
from campaigns.acquisition.scores import ConfidenceBound, LogImprovement

LOOKED = 1000
"""Candidates among which a batch is chosen: those with the highest mean + 3 sigma of
the dearest fidelity. Each ask updates the covariances of all of them."""
MOVED = 1e-3
"""Relative change of a sigma or a correlation after which a worth is computed again."""
_LEAST = 1e-12
_WIDEST = 8.0  # beyond it, in sigmas, nothing is left to learn about the best value
Ask = tuple[int, int]
"""A candidate and a fidelity, the cheapest being 0."""


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


def information(g: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return what an answer tells about a best value, nats (MF-MES), shape of both.

    With y standard normal and f correlated with it by r, the entropy of y less that of
    y given f < g: ``r² g lambda / 2 - log Phi(g) + E[log Phi(w)]``, where
    ``lambda = phi(g) / Phi(g)`` and ``w = (g - r y) / sqrt(1 - r²)``, the mean over y
    given f < g. For r = 1 that is max-value entropy search; in between, one integral is
    left, over y where r is small and over w where it is large, by Gauss's rules.

    Args:
        g: best value less the mean of the dearest fidelity, in its sigma; >= -8.
        r: correlation of the answer with the dearest fidelity, -1 to 1.
    """
    g, r = np.broadcast_arrays(np.asarray(g, dtype=float), np.abs(r))
    shape, g, r = g.shape, g.ravel(), r.ravel()
    g = np.maximum(g, -_WIDEST)
    rest = np.sqrt(np.maximum(1.0 - r**2, 0.0))
    log_below = log_ndtr(g)
    slope = np.exp(norm.logpdf(g) - log_below)
    last = np.zeros(len(g))
    flat = r < np.sqrt(0.5)
    nodes, weights = _gauss_hermite()
    w = (g[flat, None] - r[flat, None] * nodes) / rest[flat, None]
    last[flat] = _times_log(w) @ weights
    steep = ~flat & (rest > 1e-9)
    nodes, weights = _gauss_legendre()
    ratio = rest[steep, None] / r[steep, None]
    y = (g[steep, None] - rest[steep, None] * nodes) / r[steep, None]
    last[steep] = (ratio * norm.pdf(y) * _times_log(nodes)) @ weights
    found = 0.5 * r**2 * g * slope - log_below + last * np.exp(-log_below)
    return np.asarray(np.maximum(found, 0.0).reshape(shape))


def _times_log(w: np.ndarray) -> np.ndarray:
    """Return Phi(w) log Phi(w)."""
    product: np.ndarray = ndtr(w) * log_ndtr(w)
    return product


@cache
def _gauss_hermite() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a mean over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    return nodes, weights / np.sqrt(2 * np.pi)


@cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of an integral of -9 to 9, where Phi log Phi is not nothing."""
    nodes, weights = np.polynomial.legendre.leggauss(96)
    return 9 * nodes, 9 * weights


@cache
def _table() -> RectBivariateSpline:
    """:func:`information` by g and the arc sine of r, where it is smooth."""
    g = np.linspace(-_WIDEST, _WIDEST, 129)
    angle = np.linspace(0.0, np.pi / 2, 49)
    values = information(*np.meshgrid(g, np.sin(angle), indexing="ij"))
    return RectBivariateSpline(g, angle, values)


def _looked_up(g: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return :func:`information` from its table, to about 1e-4 nats."""
    angle = np.arcsin(np.minimum(np.abs(r), 1.0))
    found = _table().ev(np.clip(g, -_WIDEST, _WIDEST), angle)
    return np.asarray(np.maximum(found, 0.0))


def ask_batch(
    belief: FidelityBelief,
    rule: FidelityRule,
    best: float,
    costs: Sequence[float],
    sizes: Sequence[int],
    rng: np.random.Generator,
) -> list[Ask]:
    """Return what to ask in one round, in order; a candidate at most at one fidelity.

    An ask at a fidelity includes those below that are not answered yet, and their cost.
    The round ends when the next best ask is of a fidelity whose batch is full.

    Args:
        belief: about all candidates at all fidelities, higher is better.
        rule: which worth.
        best: best answer of the dearest fidelity so far.
        costs: of one answer, level by level.
        sizes: of the batches, level by level.
        rng: source of draws.
    """
    if isinstance(rule, Promotion):
        return _promoted(belief, rule.beta, sizes)
    top = belief.levels - 1
    target = belief.dearest()
    open_ = belief.unknown.astype(bool)
    rows = hopeful(target, open_[top], LOOKED)
    if len(rows) == 0:
        return []
    maxima = None
    if isinstance(rule, FidelityEntropy):
        maxima = max_values(target.restricted(rows), open_[top][rows], rule.draws, rng)
    else:
        assert isinstance(rule, FidelityImprovement)
    batch = _Batch(belief.about(rows), open_[:, rows], np.array(costs), best, maxima)
    left = list(sizes)
    asks: list[Ask] = []
    while True:
        found = batch.next()
        if found is None or left[found[1]] == 0:
            return asks
        place, level = found
        batch.take(place, level)
        left[level] -= 1
        asks.append((int(rows[place]), level))


class _Batch:
    """Worths of all asks about some candidates, while a batch is being filled."""

    def __init__(
        self,
        belief: FidelityBelief,
        open_: np.ndarray,
        costs: np.ndarray,
        best: float,
        maxima: np.ndarray | None,
    ) -> None:
        self.belief, self.maxima = belief, maxima
        self.now = Conditioned.on(belief)
        self.open = open_.copy()
        # an ask pays for all that is missing below it
        self.price = np.cumsum(open_ * costs[:, None], axis=0)
        self.score = LogImprovement(best)
        levels, n = open_.shape
        every = np.arange(n)
        self.mean = belief.mean.reshape(levels, n)[-1]
        top = (levels - 1) * n + every
        # covariance of every fidelity with the dearest, candidate by candidate
        self.shared = np.stack(
            [_pairwise(belief, level * n + every, top) for level in range(levels)]
        )
        self.worth = np.full((levels, n), -np.inf)
        self.sigma = np.full(n, np.inf)
        self.link = np.full((levels, n), np.inf)
        self._update()

    def next(self) -> Ask | None:
        """Return the ask of greatest worth per cost that is left, or None."""
        value = np.where(self.open, self.worth, -np.inf)
        place = int(value.argmax())
        level, candidate = divmod(place, value.shape[1])
        return (candidate, level) if np.isfinite(value.ravel()[place]) else None

    def take(self, candidate: int, level: int) -> None:
        """Believe that an ask is answered as expected."""
        levels, n = self.open.shape
        self.open[:, candidate] = False  # the rest of it waits for the answer
        self.now = self.now.given(level * n + candidate)
        step = self.now.updates[-1].reshape(levels, n)
        self.shared = self.shared - step * step[-1]
        if level == levels - 1:
            risen = self.score.after(float(self.mean[candidate]))
            if risen.best > self.score.best:
                self.score = risen
                self.sigma[:] = np.inf  # every worth is to be computed again
        self._update()

    def _update(self) -> None:
        levels, n = self.open.shape
        std = np.sqrt(np.maximum(self.now.variance, 0.0)).reshape(levels, n)
        sigma = np.maximum(std[-1], _LEAST)
        link = np.clip(self.shared / np.maximum(std * sigma, _LEAST**2), -1.0, 1.0)
        with np.errstate(invalid="ignore"):
            moved = np.abs(sigma - self.sigma) > MOVED * sigma
            moved |= (np.abs(link - self.link) > MOVED).any(axis=0)
        at = np.flatnonzero(moved & self.open.any(axis=0))
        if len(at) == 0:
            return
        self.sigma[at], self.link[:, at] = sigma[at], link[:, at]
        r = np.abs(link[:, at])
        with np.errstate(divide="ignore"):
            if self.maxima is None:
                worth = self.score.value(self.mean[at], sigma[at]) + np.log(r)
            else:
                g = (self.maxima[:, None] - self.mean[at]) / sigma[at]  # (draws, at)
                told = [_looked_up(g, row).mean(axis=0) for row in r]
                worth = np.log(np.array(told))
            self.worth[:, at] = worth - np.log(np.maximum(self.price[:, at], _LEAST))


def _pairwise(belief: FidelityBelief, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the covariance of each of ``a`` with the one of ``b`` beside it."""
    chunk = 64
    return np.concatenate(
        [
            np.diagonal(belief.columns(a[i : i + chunk], b[i : i + chunk]))
            for i in range(0, len(a), chunk)
        ]
    )


def _promoted(belief: FidelityBelief, beta: float, sizes: Sequence[int]) -> list[Ask]:
    """Return a full batch of each fidelity, the dearest first.

    The dearest is chosen as any batch is, each pick conditioned on those before it; the
    cheaper ones, whose batches are large, by the bound alone.
    """
    target, score = belief.dearest(), ConfidenceBound(beta)
    bound = score.value(target.mean, np.sqrt(np.maximum(target.variance, 0.0)))
    taken: list[int] = []
    asks: list[Ask] = []
    for level in reversed(range(belief.levels)):
        ready = belief.unknown[level].astype(bool)
        if level:
            ready &= ~belief.unknown[level - 1].astype(bool)
        ready[taken] = False
        if level == belief.levels - 1:
            barred = np.flatnonzero(~ready)
            picks = greedy_batch(target, score, sizes[level], barred=barred)
            rows = [p.row for p in picks]
        else:
            order = np.argsort(-np.where(ready, bound, -np.inf), kind="stable")
            rows = [int(i) for i in order[: min(sizes[level], int(ready.sum()))]]
        asks += [(row, level) for row in rows]
        taken += rows
    return asks
