"""What to ask at which fidelity: worth per cost.

Worth of an ask: expected improvement of the dearest fidelity times its correlation
with what is asked (D. Huang et al., Struct. Multidiscip. Optim. 32, 369 (2006)), or the
information about the dearest fidelity's best value (MF-MES: S. Takeno et al., ICML
2020, arXiv:1901.08275), over the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from campaigns.acquisition.beliefs import Conditioned
from campaigns.acquisition.best_value import looked_up
from campaigns.acquisition.fidelity_belief import FidelityBelief
from campaigns.acquisition.knowledge import hopeful, max_values
from campaigns.acquisition.pool import greedy_batch
from campaigns.acquisition.recipes import (
    FidelityEntropy,
    FidelityImprovement,
    FidelityRule,
    Promotion,
)
from campaigns.acquisition.scores import LEAST, ConfidenceBound, LogImprovement

LOOKED = 1000
"""Candidates among which a batch is chosen: those with the highest mean + 3 sigma of
the dearest fidelity. Each ask updates the covariances of all of them."""
MOVED = 1e-3
"""Relative change of a sigma or a correlation after which a worth is computed again."""
_FREE = 1e-12  # a price that stands for none, so that its logarithm is finite
Ask = tuple[int, int]
"""A candidate and a fidelity, the cheapest being 0."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An ask with what spoke for it."""

    candidate: int
    """Row of the belief's candidates."""
    level: int
    """Which fidelity, the cheapest being 0."""
    value: float
    """Logarithm of its worth per cost, or its bound, when it was chosen."""
    rivals: tuple[float, ...] = ()
    """Of each fidelity, the value of the best ask that was left then, -inf for none;
    where values are worths per cost."""
    link: float = 1.0
    """Correlation of its answer with the candidate's dearest one, then."""


def ask_batch(
    belief: FidelityBelief,
    rule: FidelityRule,
    best: float,
    costs: Sequence[float] | np.ndarray,
    sizes: Sequence[int],
    rng: np.random.Generator,
    *,
    barred: np.ndarray | None = None,
    pending: Sequence[Ask] = (),
) -> list[Asked]:
    """Return what to ask in one round, in order; a candidate at most at one fidelity.

    An ask at a fidelity includes those below that are not answered yet, and their cost.
    The round ends when the next best ask is of a fidelity whose batch is full.

    Args:
        belief: about all candidates at all fidelities, higher is better.
        rule: which worth.
        best: best answer of the dearest fidelity so far.
        costs: of one answer, level by level, shape (levels,), or of each candidate's,
            (levels, n).
        sizes: of the batches, level by level.
        rng: source of draws.
        barred: what must not be asked, shape (levels, n), bool.
        pending: what is being answered: taken as known first, never asked.
    """
    open_ = belief.unknown.astype(bool)
    if barred is not None:
        open_ &= ~barred
    waiting = np.array(sorted({candidate for candidate, _ in pending}), dtype=int)
    open_[:, waiting] = False
    if isinstance(rule, Promotion):
        return _promoted(belief, rule.beta, sizes, open_, pending)
    target = belief.dearest()
    hoped = np.asarray(open_.any(axis=0))
    if not hoped.any():
        return []
    rows = np.union1d(hopeful(target, hoped, LOOKED), waiting)
    maxima = None
    if isinstance(rule, FidelityEntropy):
        still = belief.unknown[-1][rows].astype(bool)
        maxima = max_values(target.restricted(rows), still, rule.draws, rng)
    else:
        assert isinstance(rule, FidelityImprovement)
    prices = np.asarray(costs, dtype=float)
    whole = np.broadcast_to(
        prices if prices.ndim == 2 else prices[:, None], open_.shape
    )
    batch = _Batch(belief.about(rows), open_[:, rows], whole[:, rows], best, maxima)
    place = {int(row): i for i, row in enumerate(rows)}
    for candidate, level in pending:
        batch.take(place[candidate], level)
    left = list(sizes)
    asks: list[Asked] = []
    while True:
        found = batch.next()
        if found is None or left[found[1]] == 0:
            return asks
        at, level = found
        asked = Asked(
            int(rows[at]), level, float(batch.worth[level, at]), batch.rivals(),
            float(batch.link[level, at]),
        )  # fmt: skip
        batch.take(at, level)
        left[level] -= 1
        asks.append(asked)


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
        self.price = np.cumsum(belief.unknown * costs, axis=0)
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

    def rivals(self) -> tuple[float, ...]:
        """Return the greatest worth per cost that is left at each fidelity."""
        value = np.where(self.open, self.worth, -np.inf)
        return tuple(float(v) for v in value.max(axis=1))

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
        sigma = np.maximum(std[-1], LEAST)
        link = np.clip(self.shared / np.maximum(std * sigma, LEAST**2), -1.0, 1.0)
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
                told = [looked_up(g, row).mean(axis=0) for row in r]
                worth = np.log(np.array(told))
            self.worth[:, at] = worth - np.log(np.maximum(self.price[:, at], _FREE))


def _pairwise(belief: FidelityBelief, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the covariance of each of ``a`` with the one of ``b`` beside it."""
    chunk = 64
    return np.concatenate(
        [
            np.diagonal(belief.columns(a[i : i + chunk], b[i : i + chunk]))
            for i in range(0, len(a), chunk)
        ]
    )


def _promoted(
    belief: FidelityBelief,
    beta: float,
    sizes: Sequence[int],
    open_: np.ndarray,
    pending: Sequence[Ask],
) -> list[Asked]:
    """Return a full batch of each fidelity, the dearest first.

    The dearest is chosen as any batch is, each pick conditioned on those before it; the
    cheaper ones, whose batches are large, by the bound alone.
    """
    target, score = belief.dearest(), ConfidenceBound(beta)
    bound = score.value(target.mean, np.sqrt(np.maximum(target.variance, 0.0)))
    taken: list[int] = []
    asks: list[Asked] = []
    for level in reversed(range(belief.levels)):
        ready = open_[level].copy()
        if level:
            ready &= ~belief.unknown[level - 1].astype(bool)
        ready[taken] = False
        if level == belief.levels - 1:
            waiting = [candidate for candidate, at in pending if at == level]
            barred = np.flatnonzero(~ready)
            picks = greedy_batch(
                target, score, sizes[level], barred=barred, pending=waiting
            )
            found = [(p.row, p.value) for p in picks]
        else:
            order = np.argsort(-np.where(ready, bound, -np.inf), kind="stable")
            rows = order[: min(sizes[level], int(ready.sum()))]
            found = [(int(i), float(bound[i])) for i in rows]
        asks += [Asked(row, level, value) for row, value in found]
        taken += [row for row, _ in found]
    return asks
