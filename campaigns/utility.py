"""Utility: a prediction turned into what the acquisition maximises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm

from campaigns.fronts.belief import FrontBelief, front_belief
from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import HullObjective, target_range
from campaigns.state import State
from matdisco.thermo import Hull
from surrogates.base import Prediction


@dataclass(frozen=True, eq=False)
class Utility:
    """Joint beliefs about some candidates and what they are worth.

    For a hull the belief is about ``hull(x) - formation energy``, the depth below
    today's hull: positive means a new stable phase. Minimised properties are
    negated. A target range keeps the property; ``wanted`` says what it is worth.
    """

    belief: Prediction
    """Joint Gaussian over the candidates, higher is better unless ``wanted`` is set."""
    best: float
    """Merit to improve on: the hull itself, or the best answer so far."""
    wanted: tuple[float, float] | None = None
    """The wanted range of the belief's quantity, where the goal is one; the merit of a
    value is then minus its distance to the range."""
    sign: float = 1.0
    """The belief's quantity is this times the property."""
    known: Hull | None = None
    """The hull of all answers, where the objective is one."""
    x: np.ndarray | None = None
    """Atomic fractions of the candidates, shape (n, n_elements), with ``known``."""
    offset: np.ndarray | None = None
    """Logarithm of what the worth is multiplied by (chance of an answer, one over the
    cost), shape (n,)."""
    formulas: np.ndarray | None = None
    """Number of each candidate's formula, shape (n,), for ``per_formula``."""
    answered: np.ndarray | None = None
    """Merits of all answers, shape (m,), where the objective is a property."""
    beside: Prediction | None = None
    """Joint belief about the candidates and, after them, everything answered: for
    rules that doubt the best so far."""
    front: FrontBelief | None = None
    """Beliefs about all targets, where the objective is a front; ``belief`` is then the
    one about the first target with a goal."""

    def worth(self, value: torch.Tensor) -> torch.Tensor:
        """Return the merit of values of the belief's quantity, elementwise."""
        if self.wanted is None:
            return value
        low, high = self.wanted
        return -torch.clamp_min(torch.maximum(low - value, value - high), 0.0)

    def expected(self) -> np.ndarray:
        """Return the expected merit of each candidate, shape (n,).

        For a front the hypervolume that it is expected to add.

        For a range, E(low - y)+ + E(y - high)+ of a normal y in closed form, each
        sigma (phi(z) + z Phi(z)) as in expected improvement.
        """
        if self.front is not None:
            return self.front.gain
        mean, sigma = self.belief.mean, np.maximum(self.belief.std, 1e-12)
        if self.wanted is None:
            return mean
        low, high = self.wanted
        missed = np.zeros(len(mean))
        for z in ((low - mean) / sigma, (mean - high) / sigma):
            missed += sigma * (norm.pdf(z) + z * norm.cdf(z))
        return -missed


def utility(
    state: State,
    prediction: Prediction,
    rows: np.ndarray,
    every: Mapping[str, Prediction] | None = None,
    pending: np.ndarray | None = None,
) -> Utility:
    """Build the utility of pool rows.

    Args:
        state: what is known.
        prediction: of the surrogate's target, for exactly these rows.
        rows: pool rows, shape (n,).
        every: property to its prediction for the whole pool, where the objective is a
            front; not looked at otherwise.
        pending: pool rows that are being evaluated, likewise.
    """
    objective = state.objective
    if isinstance(objective, FrontObjective):
        assert every is not None
        front = front_belief(state, every, rows, () if pending is None else pending)
        sign = objective.goals[0].sign
        return Utility(front.beliefs[0], state.best, sign=sign, front=front)
    if isinstance(objective, HullObjective):
        height = state.require_hull().height(state.x[rows])
        belief = Prediction(
            height - prediction.mean, -prediction.factors, prediction.residual
        )
        return Utility(belief, 0.0, known=state.require_hull(), x=state.x[rows])
    answered = state.merit(state.headline)
    best = float(answered.max())
    if objective.goal == "target":
        return Utility(prediction, best, wanted=target_range(objective))
    sign = 1.0 if objective.goal == "maximise" else -1.0
    belief = Prediction(
        sign * prediction.mean, sign * prediction.factors, prediction.residual
    )
    return Utility(belief, best, sign=sign, answered=answered)
