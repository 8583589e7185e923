"""Learning from several fidelities in a replay: a process for each, one on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from campaigns.acquisition.beliefs import Belief, FactorBelief
from campaigns.acquisition.fidelity_belief import FidelityBelief
from campaigns.acquisition.stacked import stacked
from campaigns.replay.learner_recipes import Cokriging
from campaigns.replay.learners import Learner, learner
from campaigns.replay.pools import Pool
from surrogates.base import Prediction

MOST = 1000
"""Answers of one fidelity that condition its process, evenly spread over those there
are: what is answered is known in any case, and the cost grows with the cube."""


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
        changed = False

        def learn(level: int, at: np.ndarray, left: np.ndarray) -> Belief:
            nonlocal changed
            delta, new = self._delta(level, at, left, changed=changed)
            changed = changed or new
            return delta

        return stacked(self.n, rows, answers, learn)

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
