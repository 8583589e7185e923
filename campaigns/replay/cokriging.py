"""Learning from several fidelities in a replay: a process for each, one on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from campaigns.acquisition.beliefs import Belief, FactorBelief
from campaigns.acquisition.fidelity_belief import FidelityBelief
from campaigns.replay.learner_recipes import Cokriging
from campaigns.replay.learners import Learner, learner
from campaigns.replay.pools import Pool
from surrogates.base import Prediction

MOST = 1000
"""Answers of one fidelity that condition its process, evenly spread over those there
are: what is answered is known in any case, and the cost grows with the cube."""
RIDGE = 1e-2
"""Weight of a slope of 0 beside the labels, times the root of their number: as weak as
that of a replay's other prior means."""


class CokrigingLearner:
    """Fits all fidelities; a fidelity that has learnt nothing new is not fitted again.

    Args:
        recipe: the process.
        pool: the candidates.
        seed: of the replay.
        levels: how many fidelities, the target included.
    """

    def __init__(self, recipe: Cokriging, pool: Pool, seed: int, levels: int) -> None:
        self.n = len(pool)
        self.parts: list[Learner] = [
            learner(recipe.process, pool, seed) for _ in range(levels)
        ]
        self.kept: list[tuple[int, Belief] | None] = [None] * levels

    def fit(
        self, rows: Sequence[np.ndarray], answers: Sequence[np.ndarray]
    ) -> FidelityBelief:
        """Learn all answers.

        Args:
            rows: answered candidates of each fidelity, the cheapest first; those of a
                dearer one are among those of the cheaper ones.
            answers: their values, higher is better.

        Returns:
            The joint belief about all candidates at all fidelities.
        """
        levels = len(self.parts)
        below, above = np.zeros(self.n), np.zeros((levels, self.n))
        deltas: list[Belief] = []
        slopes: list[float] = []
        unknown = np.ones((levels, self.n))
        changed = False
        for level, (at, y) in enumerate(zip(rows, answers, strict=True)):
            unknown[level, at] = 0.0
            slope, trend = _line(below, at, y) if level else (0.0, np.zeros(self.n))
            if level:
                slopes.append(slope)
            delta, new = self._delta(level, at, y - trend[at], changed=changed)
            changed = changed or new
            deltas.append(delta)
            below = trend + delta.mean
            below[at] = y  # an answer is no longer a guess
            above[level] = below
        return FidelityBelief(tuple(deltas), tuple(slopes), unknown, above.ravel())

    def predict(self, belief: FidelityBelief, rows: np.ndarray) -> Prediction:
        """Return predictions of target evaluations at ``rows``, noise included."""
        target = belief.dearest()
        noise = belief.deltas[-1].noise
        std = np.sqrt(np.maximum(target.variance[rows] + noise, 1e-24))
        return Prediction.apart(target.mean[rows], std)

    def _delta(
        self, level: int, at: np.ndarray, y: np.ndarray, *, changed: bool
    ) -> tuple[Belief, bool]:
        """Return the belief about what a fidelity adds, and whether it is a new one."""
        if len(at) == self.n:  # nothing is left to believe
            nothing = np.zeros(self.n)
            known = Prediction.apart(nothing, nothing)
            return FactorBelief(known), False
        kept = self.kept[level]
        if kept is not None and kept[0] == len(at) and not changed:
            return kept[1], False
        some = np.unique(np.linspace(0, len(at) - 1, MOST).astype(int))
        delta = self.parts[level].fit(at[some], y[some]).belief(needs_std=True)
        self.kept[level] = (len(at), delta)
        return delta, True


def _line(below: np.ndarray, at: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return rho and the line that the fidelity below predicts, shape (n,)."""
    x = below[at]
    unit = max(float(x.std()), 1e-12)
    a = (x - x.mean()) / unit
    slope = float(a @ (y - y.mean())) / (len(at) + RIDGE * len(at) ** 0.5) / unit
    return slope, y.mean() + slope * (below - x.mean())
