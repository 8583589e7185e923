"""Acquisition by what an evaluation would teach: entropy of the maximum, and knowledge.

Max-value entropy: Z. Wang and S. Jegelka, ICML 2017 (arXiv:1703.01968), equation 6,
with maxima of joint draws over the pool instead of their Gumbel approximation.
Knowledge gradient over finitely many alternatives with correlated beliefs: P. Frazier
et al., INFORMS J. Comput. 21, 599 (2009), algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import norm
from typing_extensions import override

from campaigns.acquisition.beliefs import Belief, Conditioned, joint
from campaigns.acquisition.pool import Pick
from campaigns.acquisition.scores import LEAST, Monotone

JOINT = 2000
"""Candidates of joint draws and of a knowledge gradient; from larger pools those with
the highest mean + 3 sigma. Their cost grows with the cube and the square of this."""
_LOWEST = -8.0  # of g; below it phi / Phi only grows


@dataclass(frozen=True, eq=False)
class MaxValueEntropy(Monotone):
    """Expected fall of the entropy of the best value, nats, by drawn best values.

    ``a(g) = g phi(g) / (2 Phi(g)) - log Phi(g)``, ``g = (best - mean) / sigma``,
    averaged over draws. It grows with sigma where the mean is below the drawn best,
    which holds since those are at least the highest mean of the pool.
    """

    maxima: np.ndarray
    """Drawn best values, shape (draws,)."""

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        sigma = np.maximum(std, LEAST)
        total = np.zeros(len(mean))
        for best in self.maxima:
            # only a row that is not free can lie above a drawn best
            g = np.maximum((best - mean) / sigma, _LOWEST)
            log_below = log_ndtr(g)
            # phi / Phi through logarithms: both vanish together far below
            ratio = np.exp(norm.logpdf(g) - log_below)
            total += 0.5 * g * ratio - log_below
        result: np.ndarray = total / len(self.maxima)
        return result


def hopeful(belief: Belief, free: np.ndarray, size: int) -> np.ndarray:
    """Return the free rows with the highest mean + 3 sigma, ascending.

    Args:
        belief: about n candidates.
        free: which may be chosen, shape (n,), bool.
        size: at most so many.
    """
    std = np.sqrt(np.maximum(belief.variance, 0.0))
    hope = np.where(free, belief.mean + 3 * std, -np.inf)
    count = min(size, int(free.sum()))
    return np.sort(np.argsort(-hope, kind="stable")[:count])


def max_values(
    belief: Belief, free: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return drawn best values of the free candidates, shape (draws,).

    None is below the highest mean, where the entropy's formula no longer holds.
    """
    rows = hopeful(belief, free, JOINT)
    local = joint(belief, rows)
    drawn = (local.mean + local.deviations(rng, draws)).max(axis=1)
    return np.asarray(np.maximum(drawn, local.mean.max()))


def knowledge_gradient(mean: np.ndarray, slopes: np.ndarray) -> float:
    """Return ``E max_j (mean_j + slopes_j Z) - max_j mean_j`` for a standard normal Z.

    Exactly, by the upper envelope of the lines.

    Args:
        mean: expected values, shape (n,).
        slopes: how much each moves per standard deviation of the observation, (n,).

    >>> round(knowledge_gradient(np.zeros(2), np.array([1.0, -1.0])), 4)  # E |Z|
    0.7979
    """
    order = np.lexsort((mean, slopes))
    a, b = mean[order], slopes[order]
    last = np.append(np.diff(b) > 1e-15, True)  # of equal slopes the highest line
    a, b = a[last], b[last]
    kept = [0]
    starts = [-np.inf]
    for i in range(1, len(a)):
        while True:
            j = kept[-1]
            cross = (a[j] - a[i]) / (b[i] - b[j])
            if len(kept) > 1 and cross <= starts[-1]:
                kept.pop()
                starts.pop()
                continue
            break
        kept.append(i)
        starts.append(cross)
    if len(kept) == 1:
        return float(a[kept[0]] - mean.max())
    c = np.array(starts[1:])
    gaps = np.diff(b[kept])
    far = -np.abs(c)
    gain = float((gaps * (norm.pdf(far) + far * norm.cdf(far))).sum())
    # the envelope at Z = 0 is the best of the means, so nothing else remains
    return gain


def knowledge_batch(
    belief: Belief, q: int, pending: np.ndarray, barred: np.ndarray
) -> list[Pick]:
    """Return a batch of the largest knowledge gradients, one after the other.

    Each pick conditions the belief, the means staying (kriging believer).

    Args:
        belief: about all candidates, higher is better.
        q: size.
        pending: rows in evaluation: conditioned on first, never chosen.
        barred: rows that are not looked at.
    """
    free = np.ones(len(belief.mean), dtype=bool)
    free[barred] = False
    rows = np.union1d(hopeful(belief, free, JOINT), pending).astype(int)
    place = {int(r): i for i, r in enumerate(rows)}
    now = Conditioned.on(belief.restricted(rows), [place[int(r)] for r in pending])
    open_ = np.ones(len(rows), dtype=bool)
    open_[[place[int(r)] for r in pending]] = False
    every = np.arange(len(rows))
    picks: list[Pick] = []
    while len(picks) < q and open_.any():
        covariance = now.columns(every, every)
        spread = np.sqrt(np.maximum(now.variance + now.noise, 1e-300))
        value = np.full(len(rows), -np.inf)
        for i in np.flatnonzero(open_):
            value[i] = knowledge_gradient(now.mean, covariance[:, i] / spread[i])
        best = int(value.argmax())
        std = float(np.sqrt(max(float(now.variance[best]), 0.0)))
        mean = float(now.mean[best])
        picks.append(Pick(int(rows[best]), float(value[best]), mean, std))
        open_[best] = False
        now = now.given(best)
    return picks
