"""Choosing for one goal among candidates that must also meet limits.

A limit's property is learnt beside the goal, by a learner of the same recipe, as the
margin by which an answer meets it. The chance that a candidate meets all limits is the
product of those of its margins, which are taken as independent, and every rule is
weighed by it:

- expected and probability of improvement are multiplied by it, over the best answer so
  far that meets the limits (M. Schonlau et al. 1998; J. R. Gardner et al., ICML 2014,
  "constrained expected improvement");
- for ``top_share`` the bar is the value above which that share is expected *of those
  that meet the limits*, and the probability of exceeding it is multiplied;
- for upper confidence bound, quantile and greedy choice what is multiplied is the score
  above the lowest answer so far: what misses a limit counts as worth no more than that,
  so that this is a bound of an expected worth, and never negative.

As long as no answer meets the limits, the likeliest to meet them are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr
from typing_extensions import override

from campaigns.acquisition.batch import Aim, choose, scored
from campaigns.acquisition.beliefs import Belief
from campaigns.acquisition.pool import Pick, greedy_batch
from campaigns.acquisition.recipes import AnyAcquisition, TopShare
from campaigns.acquisition.scores import LEAST, Monotone, Score
from campaigns.acquisition.share import most_probable
from campaigns.replay.learners import Learner, learner
from campaigns.replay.pools import Pool
from campaigns.replay.strategies import HEEDING, Strategy
from surrogates.base import Prediction

_FLOOR = 1e-300
"""Scores that are not above the lowest answer: logarithms need a positive number."""


@dataclass(frozen=True, slots=True)
class LogAbove(Monotone):
    """Logarithm of how far another score is above a value."""

    inner: Score
    least: float

    @property
    @override
    def logarithmic(self) -> bool:
        return True

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        above = self.inner.value(mean, std) - self.least
        return np.asarray(np.log(np.maximum(above, _FLOOR)))

    @override
    def bound(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        above = self.inner.bound(mean, std) - self.least
        return np.asarray(np.log(np.maximum(above, _FLOOR)))

    @override
    def after(self, mean: float) -> Self:
        return replace(self, inner=self.inner.after(mean))


def log_chance(margins: list[Prediction]) -> np.ndarray:
    """Return the log of the chance that all margins are at least zero, shape (n,).

    >>> margin = Prediction.apart(np.array([0.0, 1.0]), np.ones(2))
    >>> np.exp(log_chance([margin, margin])).round(3).tolist()
    [0.25, 0.708]
    """
    parts = [log_ndtr(m.mean / np.maximum(m.std, LEAST)) for m in margins]
    total: np.ndarray = np.sum(parts, axis=0)
    return total


def weighed_bar(
    mean: np.ndarray, std: np.ndarray, chance: np.ndarray, met: np.ndarray, share: float
) -> float:
    """Return the value above which a share of those that meet the limits is expected.

    Args:
        mean: of what is not evaluated, higher is better, shape (n,).
        std: their standard deviations, shape (n,).
        chance: that they meet the limits, shape (n,).
        met: answers so far that meet them, shape (m,).
        share: of all that meet them.
    """
    sigma = np.maximum(std, LEAST)
    count = share * (float(chance.sum()) + len(met))

    def excess(value: float) -> float:
        above = (chance * ndtr((mean - value) / sigma)).sum() + (met > value).sum()
        return float(above - count)

    ends, reach = np.concatenate([mean, met]), 9.0 * float(sigma.max())
    low, high = float(ends.min()) - reach, float(ends.max()) + reach
    return float(brentq(excess, low, high, xtol=1e-9 * (high - low)))


def choose_within(
    belief: Belief,
    recipe: AnyAcquisition,
    y: np.ndarray,
    met: np.ndarray,
    weight: np.ndarray,
    rng: np.random.Generator,
    q: int,
    *,
    barred: np.ndarray,
) -> list[Pick]:
    """Return a batch of ``q`` rows weighed by their chance to meet the limits.

    Args:
        belief: about the goal of the whole pool, higher is better.
        recipe: one of :data:`campaigns.replay.strategies.HEEDING`.
        y: answers so far, higher is better, shape (m,).
        met: which of them meet the limits, shape (m,), bool.
        weight: log of the chance of every candidate, shape (n,).
        rng: source of all randomness.
        q: size of the batch; smaller where candidates run out.
        barred: rows that must not be chosen.
    """
    std = np.sqrt(np.maximum(belief.variance, 0.0))
    free = np.ones(len(belief.mean), dtype=bool)
    free[barred] = False
    if not met.any():
        rows = np.flatnonzero(free)
        order = rows[np.argsort(-weight[rows], kind="stable")][:q]
        return [
            Pick(int(i), float(weight[i]), float(belief.mean[i]), float(std[i]))
            for i in order
        ]
    aim = Aim(float(y[met].max()), answered=y[met])
    if isinstance(recipe, TopShare):
        value = weighed_bar(
            belief.mean[free], std[free], np.exp(weight[free]), y[met], recipe.share
        )
        return most_probable(belief.mean, std, value, q, free=free, offset=weight)
    score = scored(recipe, aim)
    assert score is not None
    if score.logarithmic:
        return choose(belief, recipe, aim, rng, q, barred=barred, offset=weight)
    above = LogAbove(score, float(y.min()))
    return greedy_batch(belief, above, q, barred=barred, offset=weight)


class Limits:
    """The learners of all limits of one replay."""

    def __init__(self, margins: np.ndarray, learners: list[Learner]) -> None:
        self.margins, self.learners = margins, learners

    @classmethod
    def of(cls, pool: Pool, strategy: Strategy, seed: int) -> Limits | None:
        """Return them; None where there are none, or the strategy does not ask."""
        heeds = isinstance(strategy.acquisition, HEEDING)
        if pool.margins is None or strategy.limits == "ignore" or not heeds:
            return None
        count = pool.margins.shape[1]
        return cls(
            pool.margins, [learner(strategy.learner, pool, seed) for _ in range(count)]
        )

    def weight(self, rows: np.ndarray, timed: Callable[[str, Any], Any]) -> np.ndarray:
        """Learn the margins of ``rows``; return log chances of the whole pool, (n,)."""
        every = np.arange(len(self.margins))
        told = []
        for learn, y in zip(self.learners, self.margins.T, strict=True):
            fitted = timed("fit", lambda: learn.fit(rows, y[rows]))  # noqa: B023
            told.append(timed("predict", lambda: fitted.predict(every)))  # noqa: B023
        return log_chance(told)

    def met(self, rows: np.ndarray) -> np.ndarray:
        """Return which answers meet all limits, bool."""
        return np.asarray((self.margins[rows] >= 0).all(axis=1))
