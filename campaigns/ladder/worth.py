"""What a promotion is worth: expected improvement of a rung by what is below, per cost.

The rung's value is a line in that of the fidelity below plus scatter, the simplest
autoregressive model of two fidelities (M. C. Kennedy and A. O'Hagan, Biometrika 87, 1
(2000)); expected improvement over the rung's own best, or over its own hull, then
decides. Costs go by the number of atoms, or, where the rung asks for it, by what its
own evaluations have taken.
"""

from __future__ import annotations

import numpy as np

from campaigns.acquisition.scores import LogImprovement
from campaigns.costs import CostModel
from campaigns.ladder.choice import LEAST
from campaigns.ladder.recipe import RungRecipe
from campaigns.objectives import HullObjective
from campaigns.state import State

_SLOPE_SPREAD = 0.5
"""Prior standard deviation of the line's slope around 1: fidelities mostly agree."""


def worths(
    rung: RungRecipe, below: State, above: State, costs: CostModel | None = None
) -> np.ndarray | None:
    """Return log expected improvement per cost of what is answered below, shape (n,).

    Args:
        rung: the fidelity that confirms.
        below: what the fidelity below knows; rows as in ``below.answered``.
        above: what the rung itself knows.
        costs: what its evaluations cost, where that is learnt.

    Returns:
        None as long as too little is known: fewer than :data:`LEAST` pairs, or a rung
        without elemental references.
    """
    lower, upper = _values(below), _values(above)
    if lower is None or upper is None:
        return None
    place = {int(row): i for i, row in enumerate(below.answered)}
    both = [
        (place[int(row)], value)
        for row, value in zip(above.answered, upper, strict=True)
        if int(row) in place and not is_pure(above, int(row))
    ]
    if len(both) < LEAST:
        return None
    at = np.array([i for i, _ in both])
    truth = np.array([v for _, v in both])
    mean, std = line(lower[at], truth, lower)
    atoms = np.array([below.pool[int(r)].n_atoms for r in below.answered])
    if isinstance(above.objective, HullObjective):
        assert above.hull is not None
        depth, best = above.hull.height(below.x[below.answered]) - mean, 0.0
    else:
        depth, best = above.merit(mean), float(above.merit(truth).max())
    score = LogImprovement(best).value(depth, std)
    if costs is not None:
        return np.asarray(score - np.log(costs.core_seconds(atoms) / costs.usual))
    return np.asarray(score - rung.cost_exponent * np.log(atoms))


def line(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of y at ``at``, by Bayesian regression.

    ``y - x`` is linear in x, with a slope that is likely to be small; the scatter is
    that of the residuals.

    Args:
        x: values of the fidelity below, shape (n,).
        y: values of the rung, shape (n,).
        at: where to predict, shape (m,).
    """
    centre = float(x.mean())
    design = np.column_stack([np.ones(len(x)), x - centre])
    gap = y - x
    unit = max(float(gap.var()), 1e-12)
    # two rounds: the scatter around the line decides how far the slope is believed
    for _ in range(2):
        precision = design.T @ design / unit + np.diag([0.0, _SLOPE_SPREAD**-2])
        covariance = np.linalg.inv(precision)
        weights = covariance @ design.T @ gap / unit
        left = gap - design @ weights
        unit = max(float(left @ left) / max(len(x) - 2, 1), 1e-12)
    there = np.column_stack([np.ones(len(at)), at - centre])
    variance = np.einsum("ij,jk,ik->i", there, covariance, there) + unit
    return at + there @ weights, np.sqrt(variance)


def _values(state: State) -> np.ndarray | None:
    """Return what is compared between fidelities, for the answered rows, shape (n,).

    Formation energies, each against references of its own, or the property.
    """
    if not isinstance(state.objective, HullObjective):
        return state.answers
    return None if state.hull is None else state.hull.formation


def is_pure(state: State, row: int) -> bool:
    """Tell whether a pool row is a reference of a hull."""
    hull = isinstance(state.objective, HullObjective)
    return hull and len(state.pool[row].elements) == 1
