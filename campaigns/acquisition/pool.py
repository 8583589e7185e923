"""Exact greedy batches from large discrete pools, by Cholesky updates.

Choosing a batch one by one needs, after every pick, the variances of all candidates
given that the picks so far are evaluated. Under a Gaussian process these do not depend
on the answers (Rasmussen and Williams 2006, equation 2.26), so no fantasy is drawn: one
column of the joint covariance per pick updates every variance exactly (the next row of
a Cholesky factor), while the means stay (the "kriging believer" of D. Ginsbourger et
al. 2010). T. Desautels et al., J. Mach. Learn. Res. 15, 4053 (2014), prove regret
bounds for confidence-bound batches chosen so.

Scores that fall as the variance falls are bounded by their value before the batch. The
pool is therefore read once, in chunks, and the batch is searched among the candidates
with the highest bounds until the bound of the best one left out proves that it is the
exact greedy batch of the whole pool (M. Minoux, "Accelerated greedy algorithms", 1978).
Time is linear in the pool; memory is that of the features and a few numbers each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from campaigns.acquisition.beliefs import Belief, Conditioned
from campaigns.acquisition.scores import Score

SHORTLIST = 1024
"""Candidates among which a batch is searched first; doubled until it is proven."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One member of a batch."""

    row: int
    """Row of the belief."""
    value: float
    """Its score when it was picked."""
    mean: float
    """Expected value."""
    std: float
    """Standard deviation given the picks before it."""


def greedy_batch(
    belief: Belief,
    score: Score,
    q: int,
    *,
    pending: Sequence[int] | np.ndarray = (),
    barred: Sequence[int] | np.ndarray = (),
    offset: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    per_group: int | None = None,
    shortlist: int = SHORTLIST,
) -> list[Pick]:
    """Return the exact greedy batch, in the order of picking.

    Args:
        belief: about all candidates, higher is better.
        score: of one candidate; updated after each pick.
        q: size of the batch; smaller where candidates run out.
        pending: rows in evaluation: conditioned on first, never chosen.
        barred: rows that must not be chosen.
        offset: added to the scores, shape (n,), for example log probabilities of
            success or minus log costs.
        groups: integer labels of the candidates, shape (n,), with ``per_group``.
        per_group: at most this many of one group in the batch.
        shortlist: candidates searched first.
    """
    n = len(belief.mean)
    believed: Belief = Conditioned.on(belief, pending) if len(pending) else belief
    for row in pending:
        score = score.after(float(belief.mean[row]))
    free = np.ones(n, dtype=bool)
    free[np.asarray(pending, dtype=int)] = False
    free[np.asarray(barred, dtype=int)] = False
    extra = np.zeros(n) if offset is None else offset
    std = np.sqrt(np.maximum(believed.variance, 0.0))
    bound = np.where(free, score.bound(believed.mean, std) + extra, -np.inf)
    available = int(free.sum())
    size = min(max(shortlist, 4 * q), available)
    while True:
        rows, outside = _highest(bound, size)
        picks = _search(
            believed.restricted(rows), score, q, extra[rows],
            None if groups is None else groups[rows], per_group, outside,
        )  # fmt: skip
        if picks is not None or size == available:
            return [Pick(int(rows[p.row]), p.value, p.mean, p.std) for p in picks or []]
        size = min(2 * size, available)


def _highest(bound: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Return the rows of the highest bounds, ascending, and the highest one left."""
    if size >= len(bound):
        return np.arange(len(bound)), -np.inf
    order = np.argpartition(-bound, size)
    return np.sort(order[:size]), float(bound[order[size]])


def _search(
    belief: Belief,
    score: Score,
    q: int,
    extra: np.ndarray,
    groups: np.ndarray | None,
    per_group: int | None,
    outside: float,
) -> list[Pick] | None:
    """Pick q one by one; None as soon as something outside might be better."""
    now = Conditioned.on(belief)
    picks: list[Pick] = []
    open_ = np.ones(len(belief.mean), dtype=bool)
    counts: Counter[int] = Counter()
    while len(picks) < q and open_.any():
        std = np.sqrt(now.variance)
        value = np.where(open_, score.value(now.mean, std) + extra, -np.inf)
        row = int(value.argmax())
        if value[row] < outside:
            return None
        picks.append(
            Pick(row, float(value[row]), float(now.mean[row]), float(std[row]))
        )
        open_[row] = False
        if groups is not None and per_group is not None:
            counts[int(groups[row])] += 1
            if counts[int(groups[row])] >= per_group:
                open_ &= groups != groups[row]
        score = score.after(float(now.mean[row]))
        if len(picks) < q:
            now = now.given(row)
    if len(picks) < q and outside > -np.inf:
        return None
    return picks
