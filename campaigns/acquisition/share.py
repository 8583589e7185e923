"""Choosing what probably belongs to the best share of all candidates.

Where a campaign is judged by how many of the best hundredth it finds, not by its single
best, the expected number of them in a batch is the sum of each one's probability of
being one, whatever their correlations; the best batch is therefore exactly the q most
probable ones, and no pick changes what another is worth. The bar is the value above
which that share of all candidates is expected: it is as high as the belief, evaluated
candidates included, allows.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from campaigns.acquisition.pool import Pick
from campaigns.acquisition.scores import LEAST, LogProbability


def bar(mean: np.ndarray, std: np.ndarray, answered: np.ndarray, count: float) -> float:
    """Return the value above which ``count`` candidates are expected.

    Args:
        mean: of what is not evaluated, higher is better, shape (n,).
        std: their standard deviations, shape (n,).
        answered: values of what is evaluated, shape (m,).
        count: above zero and below n + m.

    >>> bar(np.zeros(2), np.ones(2), np.array([-9.0]), 1.0)
    0.0
    """
    sigma = np.maximum(std, LEAST)
    reach = 9.0 * float(sigma.max())  # beyond, no candidate has any probability
    ends = np.concatenate([mean, answered])

    def excess(value: float) -> float:
        return float(
            ndtr((mean - value) / sigma).sum() + (answered > value).sum() - count
        )

    low, high = float(ends.min()) - reach, float(ends.max()) + reach
    # answers make steps, at one of which the root may lie; 1e-9 of the range is enough
    return round(float(brentq(excess, low, high, xtol=1e-9 * (high - low))), 12) + 0.0


def most_probable(
    mean: np.ndarray,
    std: np.ndarray,
    value: float,
    q: int,
    *,
    free: np.ndarray,
    offset: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    per_group: int | None = None,
) -> list[Pick]:
    """Return the ``q`` free candidates most probably above a value, the surest first.

    Args:
        mean: shape (n,).
        std: shape (n,).
        value: the bar.
        q: size of the batch; smaller where candidates run out.
        free: which may be chosen, shape (n,), bool.
        offset: added to the logarithms of the probabilities, shape (n,).
        groups: integer labels, shape (n,), with ``per_group``.
        per_group: at most this many of one group in the batch.
    """
    score = LogProbability(value).value(mean, std)
    score = score if offset is None else score + offset
    rows = np.flatnonzero(free)
    order = rows[np.lexsort((rows, -mean[rows], -score[rows]))]
    counts: Counter[int] = Counter()
    picks: list[Pick] = []
    for row in order:
        if groups is not None and per_group is not None:
            if counts[int(groups[row])] >= per_group:
                continue
            counts[int(groups[row])] += 1
        picks.append(
            Pick(int(row), float(score[row]), float(mean[row]), float(std[row]))
        )
        if len(picks) == q:
            break
    return picks
