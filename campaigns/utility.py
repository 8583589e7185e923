"""Utility: a prediction turned into what the acquisition maximises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from campaigns.objectives import HullObjective
from campaigns.state import State, target_range
from matdisco.thermo import Hull
from surrogates.base import Prediction


@dataclass(frozen=True, eq=False)
class Utility:
    """Joint beliefs about some candidates and what they are worth.

    For a hull the belief is about ``hull(x) - formation energy``, the depth below
    today's hull: positive means a new stable phase. Minimised properties are
    negated. A target range keeps the property and gives it a worth by ``worth``.
    """

    belief: Prediction
    """Joint Gaussian over the candidates, higher is better unless ``worth`` is set."""
    best: float
    """Merit to improve on: the hull itself, or the best answer so far."""
    worth: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Elementwise map from the belief's quantity to merit; None is the identity."""
    known: Hull | None = None
    """The hull of all answers, where the objective is one."""
    x: np.ndarray | None = None
    """Atomic fractions of the candidates, shape (n, n_elements), with ``known``."""

    def expected(self) -> np.ndarray:
        """Return the expected merit of each candidate, shape (n,)."""
        if self.worth is None:
            return self.belief.mean
        # Gauss-Hermite: exact for polynomials up to degree 63, plenty for a wedge.
        nodes, weights = np.polynomial.hermite_e.hermegauss(32)
        values = self.belief.mean[:, None] + self.belief.std[:, None] * nodes
        merit = self.worth(torch.from_numpy(values)).numpy()
        result: np.ndarray = merit @ (weights / weights.sum())
        return result


def utility(state: State, prediction: Prediction, rows: np.ndarray) -> Utility:
    """Build the utility of pool rows.

    Args:
        state: what is known.
        prediction: of the surrogate's target, for exactly these rows.
        rows: pool rows, shape (n,).
    """
    objective = state.objective
    if isinstance(objective, HullObjective):
        height = state.require_hull().height(state.x[rows])
        belief = Prediction(
            height - prediction.mean, -prediction.factors, prediction.residual
        )
        return Utility(belief, 0.0, known=state.require_hull(), x=state.x[rows])
    best = float(state.merit(state.headline).max())
    if objective.goal == "target":
        low, high = target_range(objective)

        def worth(value: torch.Tensor) -> torch.Tensor:
            return -torch.clamp_min(torch.maximum(low - value, value - high), 0.0)

        return Utility(prediction, best, worth)
    sign = 1.0 if objective.goal == "maximise" else -1.0
    belief = Prediction(
        sign * prediction.mean, sign * prediction.factors, prediction.residual
    )
    return Utility(belief, best)
