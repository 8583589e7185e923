"""Choosing a batch with the exact pool scorer, by recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from campaigns.acquisition.pool import Belief, Pick, greedy_batch
from campaigns.acquisition.recipes import (
    AnyAcquisition,
    Greedy,
    LevelSet,
    LogExpectedImprovement,
    MaxVariance,
    ProbabilityOfImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
)
from campaigns.acquisition.scores import (
    ConfidenceBound,
    LogImprovement,
    LogProbability,
    LogWindow,
    Mean,
    Score,
    Spread,
    Straddle,
)
from matdisco.errors import ConfigError

JOINT = 2000
"""Candidates of a joint posterior draw; from larger pools those with the highest
mean + 3 sigma. The draw costs the cube of this."""


@dataclass(frozen=True)
class Aim:
    """What a batch is measured against."""

    best: float
    """Merit of the best answer so far."""
    wanted: tuple[float, float] | None = None
    """Wanted range, where the goal is one."""
    sign: float = 1.0
    """Merit is this times the property."""


def scored(recipe: AnyAcquisition, aim: Aim) -> Score | None:
    """Return the closed-form score of a recipe; None where it has none."""
    if isinstance(recipe, MaxVariance):
        return Spread()
    if isinstance(recipe, LevelSet):
        return Straddle(aim.sign * recipe.level, recipe.beta)
    if aim.wanted is not None:
        # improvement on a range is to lie in it; only this has a closed form
        fits = isinstance(recipe, LogExpectedImprovement | ProbabilityOfImprovement)
        return LogWindow(*aim.wanted) if fits else None
    if isinstance(recipe, Greedy):
        return Mean()
    if isinstance(recipe, UpperConfidenceBound):
        return ConfidenceBound(recipe.beta)
    if isinstance(recipe, LogExpectedImprovement):
        return LogImprovement(aim.best)
    if isinstance(recipe, ProbabilityOfImprovement):
        return LogProbability(aim.best + recipe.margin)
    return None


def choose(
    belief: Belief,
    recipe: AnyAcquisition,
    aim: Aim,
    rng: np.random.Generator,
    q: int,
    *,
    pending: Sequence[int] | np.ndarray = (),
    barred: Sequence[int] | np.ndarray = (),
    offset: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    per_group: int | None = None,
) -> list[Pick]:
    """Return a batch of ``q`` rows of a belief; see :func:`greedy_batch`.

    Raises:
        ConfigError: the recipe has no closed form for this aim.
    """
    if isinstance(recipe, ThompsonSampling):
        return thompson_batch(belief, rng, q, pending=pending, barred=barred)
    score = scored(recipe, aim)
    if score is None:
        raise ConfigError(
            f"acquisition: kind {recipe.kind} has no exact batch"
            f"{' for a target range' if aim.wanted else ''}; use scorer: monte_carlo "
            "or another kind"
        )
    if offset is not None and not score.logarithmic:
        raise ConfigError(
            f"acquisition: kind {recipe.kind} cannot be weighed by cost or by the "
            "probability of success; use log_expected_improvement or "
            "probability_of_improvement"
        )
    return greedy_batch(
        belief, score, q, pending=pending, barred=barred, offset=offset,
        groups=groups, per_group=per_group,
    )  # fmt: skip


def thompson_batch(
    belief: Belief,
    rng: np.random.Generator,
    q: int,
    *,
    pending: Sequence[int] | np.ndarray = (),
    barred: Sequence[int] | np.ndarray = (),
) -> list[Pick]:
    """Draw the belief jointly ``q`` times; each draw's best new row joins.

    Candidates in evaluation are drawn too: a draw that they win goes to its best
    other row.
    """
    free = np.ones(len(belief.mean), dtype=bool)
    free[np.asarray(pending, dtype=int)] = False
    free[np.asarray(barred, dtype=int)] = False
    std = np.sqrt(np.maximum(belief.variance, 0.0))
    hope = np.where(free, belief.mean + 3 * std, -np.inf)
    size = min(max(JOINT, 4 * q), int(free.sum()))
    rows = np.sort(np.argsort(-hope, kind="stable")[:size])
    local = belief.restricted(rows)
    every = np.arange(len(rows))
    covariance = local.columns(every, every)
    ridge = 1e-8 * float(np.trace(covariance)) / max(len(rows), 1) + 1e-300
    covariance[np.diag_indices_from(covariance)] += ridge
    root = np.linalg.cholesky(covariance)
    picks: list[Pick] = []
    taken = np.zeros(len(rows), dtype=bool)
    while len(picks) < min(q, size):
        draw = local.mean + root @ rng.standard_normal(len(rows))
        row = int(np.where(taken, -np.inf, draw).argmax())
        taken[row] = True
        at = int(rows[row])
        picks.append(Pick(at, float(draw[row]), float(belief.mean[at]), float(std[at])))
    return picks
